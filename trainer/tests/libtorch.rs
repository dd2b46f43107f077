//! That the programs of this package find libtorch without LD_LIBRARY_PATH.

#[test]
fn libtorch_is_found_and_computes() {
    let sum = tch::Tensor::from_slice(&[1.0f32, 2.0])
        .f_sum(tch::Kind::Float)
        .and_then(|t| f32::try_from(&t));
    assert_eq!(sum.expect("libtorch sums"), 3.0);
}
