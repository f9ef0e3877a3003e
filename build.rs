//! Nothing to do without the trainer.
fn main() {}
