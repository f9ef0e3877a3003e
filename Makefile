# Thin: what cargo can do, cargo does.
#
#   make setup   libtorch into the user cache (nothing system-wide, no root)
#   make build   both programs, release
#   make demo    a real search on real images, an attack on its best model, and their tables
#   make test    all tests
#   make lint    formatting, clippy, docs; licences, sources and versions of dependencies
#   make fuzz    one fuzz target in libFuzzer: make fuzz TARGET=frame SECONDS=60
#   make torture everything that can go wrong, injected and counted
#   make bench   benchmarks, as one table; CASES="start log" does some of them
#   make bench-train  training against an ordinary PyTorch script, in Python (TRAIN="--only 1,2")
#   make bench-peers  records and answers held against Optuna and MLflow, in Python (PEERS="--trials 1000")
#   make gpu-check    what only a GPU can show, in six minutes (GPU="--device cuda:1")
#   make peers   adversarial images held against torchattacks, in Python (not part of the tests)

CARGO ?= cargo
QTRAIL = target/release/qtrail

.PHONY: setup build demo test lint fuzz torture bench bench-train bench-peers gpu-check peers

setup:
	@scripts/setup-libtorch.sh

build: setup
	$(CARGO) build --release --features train

demo: build
	@$(QTRAIL) data fetch fashion-mnist
	@$(QTRAIL) search --preset demo --name demo --or-resume
	@$(QTRAIL) table epsilon --search demo
	@$(QTRAIL) table top --search demo --limit 5
	@$(QTRAIL) attack --top 1 --search demo --images 200 --eps 8,32 --transform blur=0.5,1 --transform jpeg=75,25 --transform camera=1
	@$(QTRAIL) table destruction --k 1 --case average --limit 100 --columns method,eps,transformation,parameter,rate,fraction,clean_accuracy
	@echo
	@echo "Ask more of it: export PATH=$(CURDIR)/target/release:\$$PATH, then: qtrail tables, qtrail show s1, qtrail --help"

# Some tests want real images, and skip without them.
test: setup
	-@$(CARGO) run --quiet --features train -- data fetch fashion-mnist
	$(CARGO) test --features train

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy -- -D warnings
	$(CARGO) clippy --all-targets --features train,tch/doc-only -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items
	@scripts/cargo-deny.sh --offline check licenses bans sources

# Needs the nightly toolchain and cargo-fuzz (fuzz/README.md). `make test` has the same targets
# without either, in tests/fuzz_inputs.rs.
TARGET ?= frame
SECONDS ?= 60
fuzz:
	@mkdir -p target/fuzz-seeds
	QTRAIL_FUZZ_SEEDS=$(CURDIR)/target/fuzz-seeds $(CARGO) test --test fuzz_inputs write_seeds
	$(CARGO) +nightly fuzz run $(TARGET) fuzz/corpus/$(TARGET) target/fuzz-seeds/$(TARGET) -- -max_total_time=$(SECONDS) -rss_limit_mb=512

# Wants strace, and root to mount small file systems; PART=sweep does one part.
PART ?=
torture:
	QTRAIL_TORTURE=full QTRAIL_NO_SKIP=1 $(CARGO) test --test torture -- $(PART)

CASES ?=
bench:
	@$(CARGO) bench --quiet --bench bench -- $(CASES)

PYTHON ?= python3
TRAIN ?=
bench-train: build
	@$(QTRAIL) data fetch fashion-mnist
	@$(PYTHON) benches/peers/train.py --json target/bench-train.jsonl $(TRAIN)

# The packages are in benches/peers/requirements.txt: PYTHON=… is one that has them.
PEERS ?=
bench-peers: build
	@$(QTRAIL) data fetch fashion-mnist
	@test -d target/tmp/tables-large || $(MAKE) bench CASES=tables
	@$(PYTHON) benches/peers/stores.py --json target/bench-peers.jsonl $(PEERS)

GPU ?=
gpu-check: build
	@$(QTRAIL) data fetch fashion-mnist
	@scripts/gpu-check.sh --python $(PYTHON) $(GPU)

peers: build
	@$(QTRAIL) data fetch fashion-mnist
	@python3 tests/peers/compare.py --qtrail $(QTRAIL)
