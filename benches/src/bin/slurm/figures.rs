//! Figures of many measurements.

/// The value below which a part of the sorted values lies.
pub fn at(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// The values in order.
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Prints a limit that is kept, or is not; answers whether it is.
pub fn within(what: &str, measured: f64, limit: f64, unit: &str) -> bool {
    let is_within = measured <= limit;
    let verdict = if is_within { "within" } else { "ABOVE" };
    println!("{what}: {measured:.2}{unit}, {verdict} {limit}{unit}");
    is_within
}
