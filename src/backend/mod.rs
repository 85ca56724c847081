//! Tensor operations behind one function each.
