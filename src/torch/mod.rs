//! Networks and training through libtorch.
