//! Curves and histograms as SVG.

use super::html::number;
use crate::queries::FrequencyBin;
use plotters::{
    coord::Shift,
    prelude::{
        AreaSeries, ChartBuilder, Color, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea,
        LineSeries, RGBColor, Rectangle, SVGBackend,
    },
};
use std::io;

const SIZE: (u32, u32) = (560, 260);
const INK: RGBColor = RGBColor(31, 83, 141);
const GRID: RGBColor = RGBColor(225, 228, 232);
const TEXT: RGBColor = RGBColor(70, 78, 88);

/// Bins of a density in one unit of its axis.
const BINS_A_UNIT: f64 = 4.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failed = DrawingAreaErrorKind<io::Error>;

/// A chart that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a chart could not be drawn: {0}")]
pub struct ChartError(String);

/// A curve through points (step, value); none where there are not two to draw it through.
pub(super) fn curve(points: &[(f64, f64)]) -> Result<Option<String>, ChartError> {
    let points: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(step, value)| step.is_finite() && value.is_finite())
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(None);
    };
    if points.len() < 2 || last.0 <= first.0 {
        return Ok(None);
    }
    let steps = first.0..last.0;
    let values = spread(points.iter().map(|point| point.1));
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(28)
            .y_label_area_size(58)
            .build_cartesian_2d(steps, values.clone())?;
        chart
            .configure_mesh()
            .light_line_style(GRID.mix(0.0))
            .bold_line_style(GRID)
            .axis_style(TEXT)
            .x_labels(6)
            .y_labels(5)
            .label_style(("sans-serif", 12, &TEXT))
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        chart.draw_series(AreaSeries::new(
            points.iter().copied(),
            values.start,
            INK.mix(0.08),
        ))?;
        chart.draw_series(LineSeries::new(points.iter().copied(), INK.stroke_width(2)))?;
        Ok(())
    })
    .map(Some)
}

/// How many features are active how often; none where there are none.
pub(super) fn density(bins: &[FrequencyBin]) -> Result<Option<String>, ChartError> {
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return Ok(None);
    };
    let edge = |bin: i32| f64::from(bin) / BINS_A_UNIT;
    let frequencies = edge(first.bin).floor()..edge(last.bin + 1).ceil().max(edge(first.bin) + 1.0);
    let most = bins.iter().map(|bin| bin.features).max().unwrap_or(0);
    let counts = 0.0..most as f64 * 1.05;
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(44)
            .y_label_area_size(58)
            .build_cartesian_2d(frequencies, counts)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(GRID.mix(0.0))
            .bold_line_style(GRID)
            .axis_style(TEXT)
            .x_labels(10)
            .y_labels(5)
            .x_desc("log10 of the fraction of tokens")
            .label_style(("sans-serif", 12, &TEXT))
            .x_label_formatter(&|frequency| tick(*frequency))
            .y_label_formatter(&|count| format!("{count:.0}"))
            .draw()?;
        chart.draw_series(bins.iter().map(|bin| {
            Rectangle::new(
                [
                    (edge(bin.bin), 0.0),
                    (edge(bin.bin + 1), bin.features as f64),
                ],
                INK.mix(0.75).filled(),
            )
        }))?;
        Ok(())
    })
    .map(Some)
}

/// A number beside an axis, without zeros that say nothing.
fn tick(value: f64) -> String {
    let text = number(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// From the least to the greatest, with a little room; never empty.
fn spread(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, greatest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| {
        (a.min(value), b.max(value))
    });
    let room = (greatest - least) * 0.05;
    if room > 0.0 {
        least - room..greatest + room
    } else {
        let room = least.abs().max(1.0) * 0.5;
        least - room..greatest + room
    }
}

fn svg(draw: impl FnOnce(&Area<'_>) -> Result<(), Failed>) -> Result<String, ChartError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area)
            .and_then(|()| area.present())
            .map_err(|error| ChartError(error.to_string()))?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_points_and_leaves_out_what_is_no_number() {
        let points: Vec<_> = (0..50)
            .map(|step| (f64::from(step), f64::from(step * step)))
            .collect();
        let drawn = curve(&points).unwrap().unwrap();
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
        let line = drawn
            .split("<polyline")
            .find(|part| part.contains("stroke-width=\"2\""));
        let coordinates = line.unwrap().split("points=\"").nth(1).unwrap();
        let coordinates = coordinates.split('"').next().unwrap();
        assert_eq!(coordinates.split_whitespace().count(), 50, "{coordinates}");
        let with_holes = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        assert!(!curve(&with_holes).unwrap().unwrap().contains("NaN"));
    }

    #[test]
    fn what_cannot_be_drawn_is_none_and_what_stays_the_same_is_a_line() {
        assert!(curve(&[]).unwrap().is_none());
        assert!(curve(&[(1.0, 1.0)]).unwrap().is_none());
        assert!(
            curve(&[(1.0, f64::NAN), (2.0, f64::INFINITY)])
                .unwrap()
                .is_none()
        );
        assert!(curve(&[(1.0, 0.0), (2.0, 0.0)]).unwrap().is_some());
        assert!(density(&[]).unwrap().is_none());
    }

    #[test]
    fn axes_are_without_needless_zeros() {
        for (value, text) in [
            (-5.0, "-5"),
            (100.0, "100"),
            (0.25, "0.25"),
            (0.0, "0"),
            (1e-7, "1.000e-7"),
        ] {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn a_bin_is_a_bar() {
        let bins = [
            FrequencyBin {
                bin: -12,
                features: 4,
            },
            FrequencyBin {
                bin: -9,
                features: 7,
            },
        ];
        let drawn = density(&bins).unwrap().unwrap();
        assert_eq!(drawn.matches("<rect").count(), 2, "{drawn}");
    }
}
