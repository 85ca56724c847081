//! The small operations against candle's tape.

use candle_core::{Device, Tensor, Var};

use super::embedding::{gather, scatter_add};
use super::gated_mlp::{silu_mul, silu_mul_backward};
use super::norm::{Heads, rms_norm, rms_norm_backward, rms_norm_heads, rms_norm_heads_backward};
use super::rope::rotate;

/// Normal values.
pub(super) fn random(rows: usize, cols: usize) -> Tensor {
    Tensor::randn(0f32, 1f32, (rows, cols), &Device::Cpu).unwrap()
}

/// The norm of `a - b`, relative to that of `b`.
pub(super) fn relative(a: &Tensor, b: &Tensor) -> f32 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    norm(&(a - b).unwrap()) / norm(b)
}

/// The gradient of Σ y·dy with respect to `var`.
fn gradient(y: &Tensor, dy: &Tensor, var: &Var) -> Tensor {
    let grads = (y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    grads.get(var).unwrap().clone()
}

fn dense_rms_norm(x: &Tensor, w: &Tensor, eps: f64) -> Tensor {
    let ms = x.sqr().unwrap().mean_keepdim(candle_core::D::Minus1).unwrap();
    let n = x.broadcast_div(&(ms + eps).unwrap().sqrt().unwrap()).unwrap();
    n.broadcast_mul(w).unwrap()
}

#[test]
fn rms_norm_agrees() {
    let (rows, width, eps) = (130, 35, 1e-5);
    let x = Var::from_tensor(&random(rows, width)).unwrap();
    let w = Var::from_tensor(&random(1, width).squeeze(0).unwrap()).unwrap();
    let dy = random(rows, width);
    let want = dense_rms_norm(x.as_tensor(), w.as_tensor(), eps);
    let (y, inverse) = rms_norm(&x.as_tensor().detach(), &w.as_tensor().detach(), eps).unwrap();
    assert!(relative(&y, &want) < 1e-6);
    let before = random(rows, width);
    let dx = before.copy().unwrap();
    let dw = w.as_tensor().detach().zeros_like().unwrap();
    let (xd, wd) = (x.as_tensor().detach(), w.as_tensor().detach());
    rms_norm_backward(&dx, &xd, &wd, &inverse, &dy, Some(&dw)).unwrap();
    assert!(relative(&(dx - before).unwrap(), &gradient(&want, &dy, &x)) < 1e-5);
    assert!(relative(&dw, &gradient(&want, &dy, &w)) < 1e-5);
}

#[test]
fn norm_of_heads_agrees() {
    let (rows, heads, head_dim, eps) = (9, 3, 10, 1e-6);
    let at = Heads { start: 4, heads, head_dim };
    let x = Var::from_tensor(&random(rows, 40)).unwrap();
    let w = Var::from_tensor(&random(1, head_dim).squeeze(0).unwrap()).unwrap();
    let dy = random(rows, heads * head_dim);
    let part = x.as_tensor().narrow(1, 4, heads * head_dim).unwrap();
    let want = dense_rms_norm(&part.reshape((rows, heads, head_dim)).unwrap(), w.as_tensor(), eps);
    let want = want.reshape((rows, heads * head_dim)).unwrap();
    let (before, wd) = (x.as_tensor().detach(), w.as_tensor().detach());
    let after = before.copy().unwrap();
    let inverse = rms_norm_heads(&after, at, &wd, eps).unwrap();
    assert!(relative(&after.narrow(1, 4, heads * head_dim).unwrap(), &want) < 1e-6);
    assert_eq!(relative(&after.narrow(1, 0, 4).unwrap(), &before.narrow(1, 0, 4).unwrap()), 0.0);
    let dx = Tensor::cat(&[&random(rows, 4), &dy, &random(rows, 6)], 1).unwrap();
    let dw = wd.zeros_like().unwrap();
    rms_norm_heads_backward(&dx, &before, at, &wd, &inverse, Some(&dw)).unwrap();
    let want_dx = gradient(&want, &dy, &x);
    let got = dx.narrow(1, 4, heads * head_dim).unwrap();
    assert!(relative(&got, &want_dx.narrow(1, 4, heads * head_dim).unwrap()) < 1e-5);
    assert!(relative(&dw, &gradient(&want, &dy, &w)) < 1e-5);
}

#[test]
fn gated_activation_agrees() {
    let x = Var::from_tensor(&random(7, 2 * 19)).unwrap();
    let d = random(7, 19);
    let gate = x.as_tensor().narrow(1, 0, 19).unwrap();
    let want = (gate.silu().unwrap() * x.as_tensor().narrow(1, 19, 19).unwrap()).unwrap();
    let xd = x.as_tensor().detach();
    assert!(relative(&silu_mul(&xd).unwrap(), &want) < 1e-6);
    assert!(relative(&silu_mul_backward(&xd, &d).unwrap(), &gradient(&want, &d, &x)) < 1e-6);
}

#[test]
fn rotation_agrees_with_candle_and_undoes_itself() {
    let (rows, head_dim) = (11, 8);
    let angles = random(rows, head_dim / 2);
    let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
    let x = random(rows, 2 * head_dim + 3);
    let at = Heads { start: 3, heads: 2, head_dim };
    let y = x.copy().unwrap();
    rotate(&y, at, &cos, &sin, false).unwrap();
    let heads = x.narrow(1, 3, 2 * head_dim).unwrap().reshape((1, rows, 2, head_dim)).unwrap();
    let heads = heads.transpose(1, 2).unwrap().contiguous().unwrap();
    let want = candle_nn::rotary_emb::rope(&heads, &cos, &sin).unwrap();
    let want = want.transpose(1, 2).unwrap().reshape((rows, 2 * head_dim)).unwrap();
    assert!(relative(&y.narrow(1, 3, 2 * head_dim).unwrap(), &want) < 1e-6);
    rotate(&y, at, &cos, &sin, true).unwrap();
    assert!(relative(&y, &x) < 1e-6);
}

#[test]
fn gather_and_scatter_are_transposes() {
    let table = random(6, 5);
    let indices = [3u32, 0, 3, 5];
    let rows = gather(&table, &indices).unwrap();
    assert_eq!(rows.to_vec2::<f32>().unwrap()[2], table.to_vec2::<f32>().unwrap()[3]);
    let sums = table.zeros_like().unwrap();
    scatter_add(&sums, &indices, &rows).unwrap();
    let doubled = (table.get(3).unwrap() * 2.0).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(sums.to_vec2::<f32>().unwrap()[3], doubled);
    assert_eq!(sums.to_vec2::<f32>().unwrap()[1], vec![0.0; 5]);
    assert!(gather(&table, &[6]).unwrap_err().to_string().contains("index 6"));
}
