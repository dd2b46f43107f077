//! How well a number tells two groups apart.

/// The probability that a random one of `positive` is greater than a random one of `negative`, equal ones counting half: the area
/// under the ROC curve. None when a group is empty or a number is not one.
#[must_use]
pub fn area_under_curve(positive: &[f64], negative: &[f64]) -> Option<f64> {
    if positive.is_empty() || negative.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    for left in positive {
        for right in negative {
            sum += match left.partial_cmp(right)? {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    Some(sum / (positive.len() * negative.len()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_groups_have_one_and_equal_ones_a_half() {
        assert_eq!(area_under_curve(&[2.0, 3.0], &[0.0, 1.0]), Some(1.0));
        assert_eq!(area_under_curve(&[1.0], &[1.0, 1.0]), Some(0.5));
        assert_eq!(area_under_curve(&[1.0, 4.0], &[2.0, 3.0]), Some(0.5));
        assert_eq!(area_under_curve(&[f64::NAN], &[2.0]), None);
        assert_eq!(area_under_curve(&[], &[2.0]), None);
    }
}
