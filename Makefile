# Thin: what cargo can do is left to cargo.

.PHONY: setup lint

# libtorch, for the trainer; see scripts/setup-libtorch.sh.
setup:
	@scripts/setup-libtorch.sh

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
