//! Products on a GPU, where there is one; `backend::matmul` has more.

use candle_core::{DType, Device, Tensor};

use super::super::for_tests;
use crate::backend::matmul::{matmul, matmul_into};

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// `[rows, cols]` of small whole numbers, whose products are exact in any order.
fn numbers(rows: usize, cols: usize, device: &Device) -> Tensor {
    let numbers: Vec<f32> = (0..rows * cols).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    Tensor::from_vec(numbers, (rows, cols), device).unwrap()
}

#[test]
fn every_layout_of_operands_and_result() {
    let Some(device) = for_tests() else { return };
    for (m, k, n) in [(1, 1, 1), (1, 7, 1), (5, 1, 3), (64, 40, 24), (33, 130, 7)] {
        let (a, b) = (numbers(m, k, &device), numbers(k, n, &device));
        let want = values(&matmul(&numbers(m, k, &Device::Cpu), &numbers(k, n, &Device::Cpu)).unwrap());
        let transposed = |t: &Tensor| t.t().unwrap().contiguous().unwrap().t().unwrap();
        for lhs in [a.clone(), transposed(&a)] {
            for rhs in [b.clone(), transposed(&b)] {
                let dst = Tensor::zeros((m, n), DType::F32, &device).unwrap();
                let other = transposed(&dst);
                for dst in [dst, other] {
                    matmul_into(&dst, &lhs, &rhs, 1.0, false).unwrap();
                    assert_eq!(values(&dst), want, "{m} {k} {n}");
                    matmul_into(&dst, &lhs, &rhs, -1.0, true).unwrap();
                    assert!(values(&dst).iter().all(|sum| *sum == 0.0), "{m} {k} {n}");
                }
            }
        }
    }
}

#[test]
fn sums_of_nothing_are_zero_or_what_was_there() {
    let Some(device) = for_tests() else { return };
    let (a, b) = (numbers(3, 0, &device), numbers(0, 5, &device));
    let dst = Tensor::ones((3, 5), DType::F32, &device).unwrap();
    matmul_into(&dst, &a, &b, 1.0, true).unwrap();
    assert_eq!(values(&dst), [1.0; 15]);
    matmul_into(&dst, &a, &b, 1.0, false).unwrap();
    assert_eq!(values(&dst), [0.0; 15]);
    assert_eq!(matmul(&numbers(0, 4, &device), &numbers(4, 5, &device)).unwrap().dims(), [0, 5]);
}

#[test]
fn float32_gradients_gather_bf16_products() {
    let Some(device) = for_tests() else { return };
    let half = |rows, cols| numbers(rows, cols, &device).to_dtype(DType::BF16).unwrap();
    let dst = Tensor::ones((6, 9), DType::F32, &device).unwrap();
    matmul_into(&dst, &half(70, 6).t().unwrap(), &half(70, 9), 0.5, true).unwrap();
    let a = numbers(70, 6, &Device::Cpu).t().unwrap().contiguous().unwrap();
    let want = ((a.matmul(&numbers(70, 9, &Device::Cpu)).unwrap() * 0.5).unwrap() + 1.0).unwrap();
    assert_eq!(values(&dst), values(&want));
}

/// A product with a long inner edge is several kernels, which hand sums on in the shared workspace.
#[test]
fn products_of_several_threads_do_not_mix() {
    let Some(device) = for_tests() else { return };
    let product = |scale: f64| {
        let (a, b) = (numbers(24, 1 << 15, &device), numbers(1 << 15, 16, &device));
        let dst = Tensor::zeros((24, 16), DType::F32, &device).unwrap();
        matmul_into(&dst, &a, &b, scale, false).unwrap();
        values(&dst)
    };
    std::thread::scope(|scope| {
        for scale in [1.0, 2.0, 4.0, 8.0] {
            let product = &product;
            scope.spawn(move || {
                let first = product(scale);
                assert!((0..50).all(|_| product(scale) == first));
                assert_eq!(first[0], first_of_the_product() * scale as f32);
            });
        }
    });
}

/// The first element of the product above, exact.
fn first_of_the_product() -> f32 {
    let number = |i: usize| (i * 7 % 11) as f32 - 5.0;
    (0..1 << 15).map(|k| number(k) * number(k * 16)).sum()
}
