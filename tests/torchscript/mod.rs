//! TorchScript files written by hand: an archive with a class in TorchScript's own language, and its
//! tensors. So tests have models of every kind without Python.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, reason = "shared by tests")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A tensor of a model.
pub enum Values {
    /// Single precision, a parameter.
    Float(Vec<f32>),
    /// Double precision, a parameter.
    Double(Vec<f64>),
    /// Whole numbers, a buffer.
    Long(Vec<i64>),
}

/// A tensor of a model, by name and size.
pub struct Tensor {
    pub name: &'static str,
    pub size: Vec<u32>,
    pub values: Values,
}

impl Tensor {
    fn storage(&self) -> (&'static str, Vec<u8>) {
        match &self.values {
            Values::Float(all) => ("Float", all.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::Double(all) => ("Double", all.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::Long(all) => ("Long", all.iter().flat_map(|x| x.to_le_bytes()).collect()),
        }
    }

    fn is_parameter(&self) -> bool {
        !matches!(self.values, Values::Long(_))
    }
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    pickle.extend(text.as_bytes());
}

fn number(pickle: &mut Vec<u8>, number: u32) {
    pickle.push(b'J');
    pickle.extend(number.to_le_bytes());
}

/// Numbers as a tuple.
fn tuple(pickle: &mut Vec<u8>, numbers: &[u32]) {
    pickle.push(b'(');
    numbers.iter().for_each(|&one| number(pickle, one));
    pickle.push(b't');
}

/// The object of the model: a pickle (protocol 2) of its attributes.
fn object(tensors: &[Tensor]) -> Vec<u8> {
    let mut pickle = b"\x80\x02c__torch__\nNet\n)\x81}(".to_vec();
    text(&mut pickle, "training");
    pickle.push(b'\x89');
    for (tensor, index) in tensors.iter().zip(0_u32..) {
        text(&mut pickle, tensor.name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(format!("ctorch\n{}Storage\n", tensor.storage().0).bytes());
        text(&mut pickle, &index.to_string());
        text(&mut pickle, "cpu");
        number(&mut pickle, tensor.size.iter().product());
        pickle.extend(b"tQ");
        number(&mut pickle, 0);
        tuple(&mut pickle, &tensor.size);
        let stride = |at: usize| tensor.size[at + 1..].iter().product();
        tuple(&mut pickle, &(0..tensor.size.len()).map(stride).collect::<Vec<u32>>());
        pickle.push(if tensor.is_parameter() { b'\x88' } else { b'\x89' });
        pickle.extend(b"ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"ub.");
    pickle
}

/// Writes a model whose `forward(self, x)` has this result type and these lines.
pub fn write(path: &Path, gives: &str, lines: &[&str], tensors: &[Tensor]) {
    let names = |parameters: bool| {
        let of = tensors.iter().filter(|tensor| tensor.is_parameter() == parameters);
        of.map(|tensor| format!("\"{}\", ", tensor.name)).collect::<String>()
    };
    let attributes: String =
        tensors.iter().map(|tensor| format!("  {} : Tensor\n", tensor.name)).collect();
    let body: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    let class = format!(
        "class Net(Module):\n  __parameters__ = [{}]\n  __buffers__ = [{}]\n{attributes}  training : bool\n  \
         def forward(self: __torch__.Net,\n    x: Tensor) -> {gives}:\n{body}",
        names(true),
        names(false),
    );
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| {
        archive.start_file(format!("net/{name}"), stored).unwrap();
        archive.write_all(bytes).unwrap();
    };
    add("data.pkl", &object(tensors));
    add("code/__torch__.py", class.as_bytes());
    add("constants.pkl", b"\x80\x02).");
    add("version", b"4\n");
    for (index, tensor) in tensors.iter().enumerate() {
        add(&format!("data/{index}"), &tensor.storage().1);
    }
    archive.finish().unwrap();
}
