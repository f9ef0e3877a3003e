//! The values of a tensor in this process's memory, as a slice: for passes over many values that
//! libtorch would make in several.

use std::thread;

use tch::{Device, Kind, Tensor};

use super::TorchError;

/// A type of values, as they lie in memory.
pub trait Value: Copy + Send {
    /// What libtorch calls it.
    const KIND: Kind;
    /// Zero.
    const ZERO: Self;
}

impl Value for f32 {
    const KIND: Kind = Kind::Float;
    const ZERO: Self = 0.0;
}

/// The bits of a bfloat16. Nothing here computes with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Value for Bf16 {
    const KIND: Kind = Kind::BFloat16;
    const ZERO: Self = Self(0);
}

/// The values of `tensor`, which must be of type `T`, without gaps and on the CPU, as they lie there. libtorch
/// does not see what is changed in them: the graph of a differentiation holds what is there now.
///
/// # Safety
/// Several tensors may share their values. While the slice is used, nothing else uses its values:
/// neither libtorch nor a slice of another tensor.
///
/// # Errors
/// [`TorchError::Request`] if it is another tensor.
#[allow(unsafe_code)]
pub unsafe fn values<T: Value>(tensor: &mut Tensor) -> Result<&mut [T], TorchError> {
    let plain = tensor.kind() == T::KIND && tensor.device() == Device::Cpu && is_dense(tensor);
    let (start, length) = (tensor.data_ptr().cast::<T>(), tensor.numel());
    if length == 0 {
        return Ok(&mut []);
    }
    if !plain || start.is_null() {
        let message = format!("expected a {:?} tensor without gaps on the CPU", T::KIND);
        return Err(TorchError::Request(message));
    }
    // SAFETY: a tensor without gaps has `numel` values from `data_ptr` on, aligned for their kind, and
    // keeps them as long as it lives, which is as long as the borrow. That nothing else uses them is
    // the caller's promise.
    #[allow(unsafe_code)]
    Ok(unsafe { std::slice::from_raw_parts_mut(start, length) })
}

/// Into how many parts work on `values` values is divided: one for each of libtorch's threads, if it
/// is worth a thread.
#[must_use]
pub fn parts(values: usize) -> usize {
    /// Values that are worth a thread.
    const WORTH_A_THREAD: usize = 1 << 16;
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    threads.min(values / WORTH_A_THREAD).max(1)
}

/// Does `work` to every part: in a thread of its own each, but for the first, which is done here.
///
/// # Errors
/// [`TorchError::Thread`] if a thread cannot be started. Some parts are done then.
pub fn in_threads<P: Send>(
    parts: impl IntoIterator<Item = P>,
    work: impl Fn(P) + Sync,
) -> Result<(), TorchError> {
    let (mut parts, work) = (parts.into_iter(), &work);
    let first = parts.next();
    thread::scope(|scope| {
        for part in parts {
            let spawned = thread::Builder::new().spawn_scoped(scope, move || work(part));
            spawned.map_err(TorchError::Thread)?;
        }
        first.into_iter().for_each(work);
        Ok(())
    })
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
        // SAFETY: libtorch is not called while a slice of these tensors is used.
        #[allow(unsafe_code)]
        let values =
            |tensor: &mut Tensor| unsafe { values::<f32>(tensor) }.map(|values| values.to_vec());
        assert_eq!(values(&mut whole).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values(&mut whole.transpose(0, 1)).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values(&mut whole.narrow(0, 1, 1)).unwrap(), [4.0, 5.0, 6.0]);
        assert!(values(&mut whole.narrow(1, 0, 2)).is_err());
        assert!(values(&mut whole.narrow(0, 0, 1).expand([2, 3], false)).is_err());
        assert!(values(&mut whole.to_kind(Kind::Double)).is_err());
        assert!(values(&mut Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))).unwrap().is_empty());
        assert!(values(&mut whole.to_kind(Kind::BFloat16)).is_err());
        let mut half = Tensor::from_slice(&[1.0_f32, -2.0]).to_kind(Kind::BFloat16);
        // SAFETY: as above.
        #[allow(unsafe_code)]
        let bits = unsafe { super::values::<Bf16>(&mut half) }.unwrap();
        assert_eq!(bits, [Bf16(0x3f80), Bf16(0xc000)]);
    }
}
