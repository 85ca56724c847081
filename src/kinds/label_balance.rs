//! Whether KTO's weights make up for an unequal number of desirable and undesirable rows.
//! Source: KTO (2402.01306), eq. 8: `λ_D n_D / (λ_U n_U)` within 1 and 4/3.

use crate::data::example::LabelCounts;
use crate::objective::kto::KtoParameters;

const LEAST: f64 = 1.0;
const MOST: f64 = 4.0 / 3.0;
/// Rounding of a quotient that should be a bound.
const ROUNDING: f64 = 1e-9;

/// What is to be said of the training rows' labels, and which weights would mend it.
pub fn warning(kto: &KtoParameters, train: LabelCounts) -> Option<String> {
    let LabelCounts { desirable, undesirable, .. } = train;
    let one_side =
        |rows: usize, which: &str| Some(format!("all {rows} rows are {which}: the loss has only one side"));
    match (desirable, undesirable) {
        (0, 0) => return None,
        (rows, 0) => return one_side(rows, "desirable"),
        (0, rows) => return one_side(rows, "undesirable"),
        _ => {}
    }
    let weighed = (kto.desirable_weight * desirable as f64, kto.undesirable_weight * undesirable as f64);
    if weighed.0 <= 0.0 || weighed.1 <= 0.0 {
        // A weight of 0 is a side that someone has turned off.
        return None;
    }
    let quotient = weighed.0 / weighed.1;
    if (LEAST - ROUNDING..=MOST + ROUNDING).contains(&quotient) {
        return None;
    }
    let undesirable_weight = between(weighed.0 / undesirable as f64 / MOST, weighed.0 / undesirable as f64);
    let desirable_weight = between(weighed.1 / desirable as f64, weighed.1 / desirable as f64 * MOST);
    Some(format!(
        "{desirable} desirable and {undesirable} undesirable rows: set `undesirable_weight` \
         {undesirable_weight} or `desirable_weight` {desirable_weight}"
    ))
}

/// A range in words, its bounds rounded inwards to two digits or more, so that either will do.
fn between(least: f64, most: f64) -> String {
    let decimals = (1.0 - least.log10().floor()).clamp(2.0, 12.0);
    let unit = 10f64.powi(decimals as i32);
    let least = (least * unit - ROUNDING).ceil() / unit;
    let most = (most * unit + ROUNDING).floor() / unit;
    format!("between {least} and {most}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(desirable: usize, undesirable: usize, weights: (f64, f64)) -> Option<String> {
        let train = LabelCounts { rows: desirable + undesirable, desirable, undesirable };
        let (desirable_weight, undesirable_weight) = weights;
        let kto = KtoParameters { desirable_weight, undesirable_weight, ..KtoParameters::default() };
        warning(&kto, train)
    }

    #[test]
    fn weights_are_named_that_balance() {
        let one = (1.0, 1.0);
        assert_eq!(
            said(180, 60, one).as_deref(),
            Some(
                "180 desirable and 60 undesirable rows: set `undesirable_weight` between 2.25 and 3 or \
                 `desirable_weight` between 0.34 and 0.44"
            )
        );
        // Each of the bounds that were named will do.
        for weights in [(1.0, 2.25), (1.0, 3.0), (0.34, 1.0), (0.44, 1.0)] {
            assert_eq!(said(180, 60, weights), None, "{weights:?}");
        }
        assert_eq!(
            said(10, 1000, one).as_deref(),
            Some(
                "10 desirable and 1000 undesirable rows: set `undesirable_weight` between 0.0075 and 0.01 or \
                 `desirable_weight` between 100 and 133.33"
            )
        );
        assert_eq!(said(10, 1000, (1.0, 0.0075)), None);
    }

    #[test]
    fn balanced_rows_and_bounds_need_no_word() {
        for rows in [(60, 60), (80, 60)] {
            assert_eq!(said(rows.0, rows.1, (1.0, 1.0)), None, "{rows:?}");
        }
        assert!(said(59, 60, (1.0, 1.0)).is_some());
        assert!(said(81, 60, (1.0, 1.0)).is_some());
        assert_eq!(said(59, 60, (1.1, 1.0)), None);
        assert_eq!(said(0, 0, (1.0, 1.0)), None);
    }

    #[test]
    fn one_side_alone_is_told() {
        let told = |rows: (usize, usize)| said(rows.0, rows.1, (1.0, 1.0)).unwrap_or_default();
        assert_eq!(told((7, 0)), "all 7 rows are desirable: the loss has only one side");
        assert_eq!(told((0, 7)), "all 7 rows are undesirable: the loss has only one side");
    }
}
