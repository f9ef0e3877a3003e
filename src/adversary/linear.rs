//! The linear softmax classifier: attacks on it can be worked out by hand.

use super::Classifier;
use super::rank::softmax;

/// logits = scale W x / 255 + bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// One row a class, one weight a value.
    pub weights: Vec<Vec<f64>>,
    /// One a class.
    pub bias: Vec<f64>,
    /// Multiplies the weights: large ones saturate the softmax.
    pub scale: f64,
}

impl Classifier for Linear {
    fn logits(&self, image: &[u8]) -> Vec<f64> {
        let row = |(row, bias): (&Vec<f64>, &f64)| {
            let products = row.iter().zip(image).map(|(w, &x)| w * f64::from(x) / 255.0);
            self.scale * products.sum::<f64>() + bias
        };
        self.weights.iter().zip(&self.bias).map(row).collect()
    }

    fn gradient(&self, image: &[u8], label: usize) -> Vec<f64> {
        // By the logits it is p - onehot(label), by the values that times W.
        let mut slopes = softmax(&self.logits(image));
        if let Some(slope) = slopes.get_mut(label) {
            *slope -= 1.0;
        }
        let value = |index: usize| {
            let column = self.weights.iter().zip(&slopes);
            column.map(|(row, slope)| slope * row[index]).sum::<f64>() * self.scale / 255.0
        };
        (0..image.len()).map(value).collect()
    }
}
