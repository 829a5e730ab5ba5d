//! Builds and finds guest kernels.
