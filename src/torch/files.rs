//! Files that are read and written for a request, with errors that name the file.

use std::path::Path;

use safetensors::tensor::TensorView;

use super::TorchError;

/// All bytes of a file.
///
/// # Errors
/// [`TorchError::File`] if it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, TorchError> {
    std::fs::read(path).map_err(failed("read", path))
}

/// Writes a file.
///
/// # Errors
/// [`TorchError::File`] if that fails.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), TorchError> {
    std::fs::write(path, bytes).map_err(failed("write", path))
}

/// Writes tensors as a safetensors file. Not by safetensors itself, whose errors hide the error
/// number of the system and whose files nobody else may read.
///
/// # Errors
/// [`TorchError::File`] if that fails.
pub fn write_tensors(path: &Path, tensors: Vec<(&str, TensorView<'_>)>) -> Result<(), TorchError> {
    let bytes = safetensors::serialize(tensors, None).map_err(failed("write", path))?;
    write(path, &bytes)
}

/// An error of a file.
pub fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
    path: &Path,
) -> impl Fn(E) -> TorchError {
    move |source| TorchError::File { action, path: path.to_owned(), source: source.into() }
}
