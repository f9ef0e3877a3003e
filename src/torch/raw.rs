//! The values of a tensor in this process's memory, as a slice: for passes over many values that
//! libtorch would make in several.

use tch::{Device, Kind, Tensor};

use super::TorchError;

/// The values of `tensor`, which must be f32, without gaps and on the CPU, as they lie there. libtorch does not see what
/// is changed in them: the graph of a differentiation holds what is there now.
///
/// # Errors
/// [`TorchError::Request`] if it is another tensor.
#[allow(clippy::needless_pass_by_ref_mut, reason = "who changes values holds their tensor alone")]
pub fn values(tensor: &mut Tensor) -> Result<&mut [f32], TorchError> {
    let plain = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && is_dense(tensor);
    let (start, length) = (tensor.data_ptr().cast::<f32>(), tensor.numel());
    if length == 0 {
        return Ok(&mut []);
    }
    if !plain || start.is_null() {
        return Err(TorchError::Request("a tensor is not plain numbers on the CPU".into()));
    }
    // SAFETY: a tensor without gaps has `numel` values from `data_ptr` on, aligned for their kind, and
    // keeps them as long as it lives, which is as long as the borrow. libtorch computes only in
    // calls, and none is under way: `tensor` is borrowed by this thread. Another tensor may share
    // the memory; callers do not hold slices of two that do.
    #[allow(unsafe_code)]
    Ok(unsafe { std::slice::from_raw_parts_mut(start, length) })
}

/// Whether its values lie one after the other, in whatever order of dimensions.
fn is_dense(tensor: &Tensor) -> bool {
    let (strides, sizes) = (tensor.stride(), tensor.size());
    let mut dimensions: Vec<_> = strides.into_iter().zip(sizes).filter(|&(_, n)| n > 1).collect();
    dimensions.sort_unstable();
    let mut next = 1;
    dimensions.into_iter().all(|(stride, size)| {
        let fits = stride == next;
        next = stride * size;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_gaps_is_a_slice() {
        let mut whole = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]);
        values(&mut whole).unwrap()[4] = 7.0;
        assert_eq!(whole.double_value(&[1, 1]), 7.0);
        assert_eq!(values(&mut whole.transpose(0, 1)).unwrap(), [1.0, 2.0, 3.0, 4.0, 7.0, 6.0]);
        assert_eq!(values(&mut whole.narrow(0, 1, 1)).unwrap(), [4.0, 7.0, 6.0]);
        assert!(values(&mut whole.narrow(1, 0, 2)).is_err());
        assert!(values(&mut whole.narrow(0, 0, 1).expand([2, 3], false)).is_err());
        assert!(values(&mut whole.to_kind(Kind::Double)).is_err());
        assert!(values(&mut Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))).unwrap().is_empty());
    }
}
