//! Facts: what can be recorded, and its bytes.

pub mod frame;
