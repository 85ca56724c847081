//! A curve as inline SVG: points scaled into a box, with its range written at the edges.

use serde::Serialize;

use crate::report::metrics::MetricsRow;
use crate::report::number;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 120.0;
/// At most so many points are drawn; longer curves are thinned out.
const POINTS: usize = 400;

/// What the page's template draws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    pub title: String,
    /// `points` of an SVG polyline in a box of 360 × 120.
    pub points: String,
    pub lowest: String,
    pub highest: String,
    pub last: String,
    pub last_step: u64,
}

/// The curve of `metric` over steps; `None` with fewer than two values.
pub fn curve(title: &str, metric: &str, rows: &[MetricsRow]) -> Option<Curve> {
    let values = rows.iter().filter_map(|row| Some((row.step, row.get(metric)?)));
    let values: Vec<(u64, f64)> = values.filter(|(_, value)| value.is_finite()).collect();
    let (&(first_step, _), &(last_step, last)) = (values.first()?, values.last()?);
    if values.len() < 2 {
        return None;
    }
    let lowest = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let highest = values.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let share = |from: f64, to: f64, value: f64| if to > from { (value - from) / (to - from) } else { 0.5 };
    let point = |(step, value): &(u64, f64)| {
        let x = WIDTH * share(first_step as f64, last_step as f64, *step as f64);
        let y = HEIGHT * (1.0 - share(lowest, highest, *value));
        format!("{x:.1},{y:.1}")
    };
    let every = values.len().div_ceil(POINTS);
    let drawn = values.iter().enumerate().filter(|(i, _)| i.is_multiple_of(every) || i + 1 == values.len());
    Some(Curve {
        title: title.to_owned(),
        points: drawn.map(|(_, value)| point(value)).collect::<Vec<_>>().join(" "),
        lowest: number::metric(lowest),
        highest: number::metric(highest),
        last: number::metric(last),
        last_step,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Metrics;

    #[test]
    fn points_fill_the_box() {
        let row = |step, loss| MetricsRow::new(step, 0.0, &Metrics::from([("loss".to_owned(), loss)]));
        let rows = [row(1, 3.0), row(2, 2.0), row(5, 1.0)];
        let curve = curve("loss", "loss", &rows).map(|curve| (curve.points, curve.lowest, curve.highest));
        let expected = ("0.0,0.0 90.0,60.0 360.0,120.0", "1.000", "3.000");
        assert_eq!(curve, Some((expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())));
    }
}
