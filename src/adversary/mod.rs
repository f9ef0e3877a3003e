//! Attacks as arithmetic: samples of images, destruction rates, intervals, comparisons.
//!
//! Everything here is pure. What is recorded of an attack is the rank of the true class of every
//! image (Kurakin, Goodfellow and Bengio 2017 have rates alone); what follows from that is here.

pub mod comparison;
pub mod destruction;
pub mod sampling;
