//! Feature scaling: fitted to the training rows, stored in the model, undone on output.

use ae_data::{BatchSource, DataError, contiguous_values};
use ae_kernels::Element;
use ae_kernels::panel::Affine;

use crate::config::ScalerKind;
use crate::error::Error;

/// `(x - shift) / scale` per feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    shift: Vec<f64>,
    scale: Vec<f64>,
    /// The smallest and the largest known value of each feature, before scaling; [`NO_LIMITS`] without
    /// known values.
    limits: Option<Vec<[f32; 2]>>,
}

/// The limits of no values at all, which those of any others replace.
const NO_LIMITS: [f32; 2] = [f32::MAX, f32::MIN];

/// The rows of a source on the scale on which errors are measured, `(x - shift) / scale`, scaled as they
/// are read.
#[derive(Clone, Copy)]
pub struct ScaledRows<'a> {
    source: &'a dyn BatchSource,
    scaler: &'a Scaler,
}

impl<'a> ScaledRows<'a> {
    pub(crate) fn new(source: &'a dyn BatchSource, scaler: &'a Scaler) -> Self {
        ScaledRows { source, scaler }
    }
}

impl std::fmt::Debug for ScaledRows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScaledRows, {} of them", self.source.rows())
    }
}

impl BatchSource for ScaledRows<'_> {
    fn rows(&self) -> usize {
        self.source.rows()
    }
    fn features(&self) -> usize {
        self.source.features()
    }
    fn names(&self) -> Option<&[String]> {
        self.source.names()
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        self.source.read_rows(indices, out)?;
        let Scaler { shift, scale, .. } = self.scaler;
        for row in out.chunks_exact_mut(self.features().max(1)) {
            for ((x, shift), scale) in row.iter_mut().zip(shift).zip(scale) {
                *x = ((f64::from(*x) - shift) / scale) as f32;
            }
        }
        Ok(())
    }
}

/// Largest scaled magnitude accepted in rows that a scaler was not fitted to: beyond it, single precision
/// may not hold the squares of errors, or their sums.
pub(crate) const MAX_EVALUATED: f64 = 1e18;
/// The same where gradients are squared, as Adam does unless they are clipped: a gradient is the product
/// of an error and a value.
pub(crate) const MAX_SQUARED: f64 = 1e9;
/// How far rounding may take values beyond 0 and 1.
const SLACK: f64 = 1e-5;

/// Number of features read at a time if all values of a feature are needed at once.
const COLUMNS_AT_A_TIME: usize = 16;
/// Number of rows read at a time.
const ROWS_AT_A_TIME: usize = 4096;

impl Scaler {
    /// The scaler that leaves every value as it is.
    pub fn identity(features: usize) -> Scaler {
        Scaler { shift: vec![0.0; features], scale: vec![1.0; features], limits: None }
    }

    /// Creates a scaler from its values; `None` unless there are equally many shifts and scales, of
    /// sizes that single precision can subtract and divide by: shifts up to 3.4e38, scales from 1.2e-38.
    pub fn from_parts(shift: Vec<f64>, scale: Vec<f64>) -> Option<Scaler> {
        let fine = shift.len() == scale.len()
            && shift.iter().all(|x| Scaler::may_shift(*x))
            && scale.iter().all(|x| Scaler::may_scale(*x));
        fine.then_some(Scaler { shift, scale, limits: None })
    }

    /// Whether single precision can subtract it.
    pub(crate) fn may_shift(x: f64) -> bool {
        x.abs() <= f64::from(f32::MAX)
    }

    /// Whether single precision can divide by it.
    pub(crate) fn may_scale(x: f64) -> bool {
        x.is_finite() && x >= f64::from(f32::MIN_POSITIVE)
    }

    /// Fits a scaler to the rows `indices` of `data`, checking that every value is finite.
    ///
    /// A feature that is constant in them is scaled to 0 and back to its constant. A robust scaler uses
    /// the standard deviation of a feature that is not constant but has an interquartile range of 0.
    /// ([`ScalerKind::Common`] has one scale for all features, constant or not.)
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::Spread`], or what reading `data` returns.
    pub fn fit(kind: ScalerKind, data: &dyn BatchSource, indices: &[usize]) -> Result<Scaler, Error> {
        Scaler::fit_allowed(kind, data, indices, Allowed::default())
    }

    /// Like [`Scaler::fit`], with a choice of allowed values. Features without known values are left as
    /// they are.
    pub(crate) fn fit_allowed(
        kind: ScalerKind,
        data: &dyn BatchSource,
        indices: &[usize],
        allowed: Allowed,
    ) -> Result<Scaler, Error> {
        let features = data.features();
        let with_mean = !matches!(kind, ScalerKind::None | ScalerKind::MinMax | ScalerKind::Common);
        let moments = Moments::of(data, indices, allowed, with_mean)?;
        for (column, (low, high)) in moments.low.iter().zip(&moments.high).enumerate() {
            let spread = f64::from(*high) - f64::from(*low);
            if spread > f64::from(f32::MAX) {
                return Err(Error::Spread { column, name: name_of(data, column), spread });
            }
        }
        let mut scaler = Scaler { limits: Some(moments.limits()), ..Scaler::identity(features) };
        match kind {
            ScalerKind::None => return Ok(scaler),
            ScalerKind::Common => {
                // Constant features share the others' unit too.
                let low = moments.low.iter().copied().fold(f32::INFINITY, f32::min);
                let (column, high) = (moments.high.iter().copied().enumerate())
                    .fold((0, f32::NEG_INFINITY), |most, one| if one.1 > most.1 { one } else { most });
                let spread = f64::from(high) - f64::from(low);
                if spread > f64::from(f32::MAX) && high.is_finite() {
                    return Err(Error::Spread { column, name: name_of(data, column), spread });
                }
                if spread >= f64::from(f32::MIN_POSITIVE) {
                    scaler.shift.fill(f64::from(low));
                    scaler.scale.fill(spread);
                } else if high == low {
                    scaler.shift.fill(f64::from(low));
                }
                return Ok(scaler);
            }
            ScalerKind::MinMax => {
                for j in 0..features {
                    scaler.shift[j] = f64::from(moments.low[j]);
                    scaler.scale[j] = f64::from(moments.high[j]) - f64::from(moments.low[j]);
                }
            }
            ScalerKind::Standard => {
                scaler.shift.copy_from_slice(&moments.mean);
                scaler.scale = (0..features).map(|j| moments.deviation(j)).collect();
            }
            ScalerKind::Centre => scaler.shift.copy_from_slice(&moments.mean),
            ScalerKind::Robust => robust(data, indices, &moments, &mut scaler)?,
        }
        for j in 0..features {
            if moments.known[j] == 0.0 {
                (scaler.shift[j], scaler.scale[j]) = (0.0, 1.0);
            } else if moments.low[j] == moments.high[j] {
                // Exactly the constant; a mean may be off by a rounding error.
                scaler.shift[j] = f64::from(moments.low[j]);
                scaler.scale[j] = 1.0;
            } else if scaler.scale[j].is_nan() || scaler.scale[j] < f64::from(f32::MIN_POSITIVE) {
                // Constant, as far as single precision can divide by the scale.
                scaler.scale[j] = 1.0;
            }
        }
        Ok(scaler)
    }

    /// Makes the scaler leave these features as they are.
    pub(crate) fn leave_unscaled(mut self, left: &[bool]) -> Scaler {
        for (feature, _) in left.iter().enumerate().filter(|(_, left)| **left) {
            (self.shift[feature], self.scale[feature]) = (0.0, 1.0);
        }
        self
    }

    /// Checks that no value of these rows exceeds `bound` once scaled; rows that the scaler was not
    /// fitted to may be anything.
    pub(crate) fn expect_no_overflow(
        &self,
        data: &dyn BatchSource,
        rows: &[usize],
        bound: f64,
    ) -> Result<(), Error> {
        self.expect(
            data,
            rows,
            |scaled| scaled.abs() > bound,
            |row, column, value| Error::Overflow { row, column, name: name_of(data, column), value },
        )
    }

    /// Checks that these rows lie in `[0, 1]` once scaled.
    pub(crate) fn expect_unit_range(&self, data: &dyn BatchSource, rows: &[usize]) -> Result<(), Error> {
        let outside = |scaled: f64| !(-SLACK..=1.0 + SLACK).contains(&scaled);
        self.expect(data, rows, outside, |row, column, value| {
            let (low, scale) = (self.shift[column], self.scale[column]);
            Error::OutsideScalerRange {
                row,
                column,
                name: name_of(data, column),
                value,
                low,
                high: low + scale,
            }
        })
    }

    /// Returns an error for the first known value that is `wrong` once scaled.
    fn expect(
        &self,
        data: &dyn BatchSource,
        rows: &[usize],
        wrong: impl Fn(f64) -> bool,
        error: impl Fn(usize, usize, f32) -> Error,
    ) -> Result<(), Error> {
        for_each_row(data, rows, |row, values| {
            for (column, (&x, (shift, scale))) in
                values.iter().zip(self.shift.iter().zip(&self.scale)).enumerate()
            {
                if !x.is_nan() && wrong((f64::from(x) - shift) / scale) {
                    return Err(error(row, column, x));
                }
            }
            Ok(())
        })
    }

    /// What is subtracted from each feature.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// What each feature is then divided by; always positive.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// The smallest and the largest value of a feature, before scaling, in the rows that the scaler was
    /// fitted to and those that its model was trained on since. `None` without known values, and for a
    /// scaler that was not fitted to rows.
    pub fn limits(&self, feature: usize) -> Option<[f32; 2]> {
        self.limits.as_ref()?.get(feature).copied().filter(|limits| *limits != NO_LIMITS)
    }

    /// The limits of all features, as files hold them.
    pub(crate) fn stored_limits(&self) -> Option<&[[f32; 2]]> {
        self.limits.as_deref()
    }

    /// Sets the limits from a file. The error is the first feature whose limits cannot be.
    pub(crate) fn with_limits(self, limits: Vec<[f32; 2]>) -> Result<Scaler, usize> {
        let cannot_be = |limits: &[f32; 2]| *limits != NO_LIMITS && !(limits[0] <= limits[1]);
        match limits.iter().position(cannot_be) {
            Some(feature) => Err(feature),
            None => Ok(Scaler { limits: Some(limits), ..self }),
        }
    }

    /// This scaler with its limits extended to those of other rows; unknown if either are.
    pub(crate) fn extended_by(&self, other: &Scaler) -> Scaler {
        let join = |([low, high], [other_low, other_high]): (&[f32; 2], &[f32; 2])| {
            [low.min(*other_low), high.max(*other_high)]
        };
        let both = self.limits.as_ref().zip(other.limits.as_ref());
        let limits = both.map(|(own, others)| own.iter().zip(others).map(join).collect());
        Scaler { limits, ..self.clone() }
    }
}

/// The scaler in the arithmetic of the network.
#[derive(Clone, Debug)]
pub(crate) struct Maps<T> {
    shift: Vec<T>,
    inverse_scale: Vec<T>,
    scale: Vec<T>,
}

impl<T: Element> Maps<T> {
    pub(crate) fn new(scaler: &Scaler) -> Self {
        let convert = |values: &[f64]| values.iter().map(|x| T::from_f64(*x)).collect();
        Maps {
            shift: convert(&scaler.shift),
            inverse_scale: scaler.scale.iter().map(|x| T::from_f64(1.0 / x)).collect(),
            scale: convert(&scaler.scale),
        }
    }

    /// The map for input rows.
    pub(crate) fn scaling(&self) -> Affine<'_, T> {
        Affine { factor: &self.inverse_scale, shift: &self.shift }
    }

    /// The map for output rows.
    pub(crate) fn unscaling(&self) -> Affine<'_, T> {
        Affine { factor: &self.scale, shift: &self.shift }
    }
}

fn name_of(data: &dyn BatchSource, column: usize) -> Option<String> {
    data.names().and_then(|names| names.get(column).cloned())
}

/// Which values a scaler may be fitted to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Whether NaN is allowed, as a missing value, which is skipped.
    pub(crate) missing: bool,
    /// Whether only values in `[0, 1]` are allowed.
    pub(crate) unit_only: bool,
}

impl Allowed {
    /// Whether all values of a row are known and allowed. Has no early exit, so that it vectorises.
    fn all(self, row: &[f32]) -> bool {
        if self.unit_only {
            row.iter().fold(true, |all, x| all & (0.0..=1.0).contains(x))
        } else {
            row.iter().fold(true, |all, x| all & x.is_finite())
        }
    }
}

/// Range, mean and sum of squared deviations of each feature.
struct Moments {
    low: Vec<f32>,
    high: Vec<f32>,
    /// Zero, like the squares, if not requested.
    mean: Vec<f64>,
    squares: Vec<f64>,
    /// Number of known values of each feature.
    known: Vec<f64>,
}

impl Moments {
    fn of(
        data: &dyn BatchSource,
        indices: &[usize],
        allowed: Allowed,
        with_mean: bool,
    ) -> Result<Moments, Error> {
        let features = data.features();
        let mut moments = Moments {
            low: vec![f32::INFINITY; features],
            high: vec![f32::NEG_INFINITY; features],
            mean: vec![0.0; features],
            squares: vec![0.0; features],
            known: vec![0.0; features],
        };
        for_each_row(data, indices, |index, row| {
            if allowed.all(row) {
                moments.add(0, row, with_mean);
                return Ok(());
            }
            for (j, &x) in row.iter().enumerate() {
                if x.is_nan() && allowed.missing {
                    continue;
                }
                if !x.is_finite() {
                    return Err(Error::NotFinite { row: index, column: j, name: name_of(data, j), value: x });
                }
                if allowed.unit_only && !(0.0..=1.0).contains(&x) {
                    return Err(Error::OutsideUnitRange {
                        row: index,
                        column: j,
                        name: name_of(data, j),
                        value: x,
                    });
                }
                moments.add(j, &[x], with_mean);
            }
            Ok(())
        })?;
        Ok(moments)
    }

    /// Adds one value, known to be finite, to each feature from `first` on.
    fn add(&mut self, first: usize, row: &[f32], with_mean: bool) {
        let of_row = first..first + row.len();
        let known = &mut self.known[of_row.clone()];
        known.iter_mut().for_each(|known| *known += 1.0);
        let bounds = self.low[of_row.clone()].iter_mut().zip(&mut self.high[of_row.clone()]);
        for ((low, high), &x) in bounds.zip(row) {
            *low = low.min(x);
            *high = high.max(x);
        }
        if !with_mean {
            return;
        }
        let sums = self.mean[of_row.clone()].iter_mut().zip(&mut self.squares[of_row]);
        for (((mean, squares), known), &x) in sums.zip(known).zip(row) {
            // Welford 1962: no catastrophic cancellation, whatever the mean.
            let x = f64::from(x);
            let delta = x - *mean;
            *mean += delta / *known;
            *squares += delta * (x - *mean);
        }
    }

    fn limits(&self) -> Vec<[f32; 2]> {
        let limits = |(low, high): (&f32, &f32)| if low <= high { [*low, *high] } else { NO_LIMITS };
        self.low.iter().zip(&self.high).map(limits).collect()
    }

    fn deviation(&self, column: usize) -> f64 {
        (self.squares[column] / self.known[column]).sqrt()
    }
}

/// Sets shifts to the medians and scales to the interquartile ranges.
fn robust(
    data: &dyn BatchSource,
    indices: &[usize],
    moments: &Moments,
    scaler: &mut Scaler,
) -> Result<(), Error> {
    let features = data.features();
    for first in (0..features).step_by(COLUMNS_AT_A_TIME) {
        let width = COLUMNS_AT_A_TIME.min(features - first);
        let mut columns = vec![Vec::with_capacity(indices.len()); width];
        for_each_row(data, indices, |_, row| {
            for (column, x) in columns.iter_mut().zip(&row[first..]).filter(|(_, x)| !x.is_nan()) {
                column.push(*x);
            }
            Ok(())
        })?;
        for (j, column) in columns.iter_mut().enumerate() {
            let j = first + j;
            column.sort_unstable_by(f32::total_cmp);
            scaler.shift[j] = quantile(column, 0.5);
            let range = quantile(column, 0.75) - quantile(column, 0.25);
            scaler.scale[j] = if range > 0.0 { range } else { moments.deviation(j) };
        }
    }
    Ok(())
}

/// The quantile of sorted values with linear interpolation (Hyndman & Fan 1996, type 7).
fn quantile(sorted: &[f32], fraction: f64) -> f64 {
    let position = fraction * (sorted.len().saturating_sub(1)) as f64;
    let (low, part) = (position.floor() as usize, position.fract());
    let at = |i: usize| sorted.get(i).map_or(0.0, |x| f64::from(*x));
    at(low) + part * (at(low + usize::from(part > 0.0)) - at(low))
}

/// Calls `visit(index, row)` for the rows `indices`, in order.
fn for_each_row(
    data: &dyn BatchSource,
    indices: &[usize],
    mut visit: impl FnMut(usize, &[f32]) -> Result<(), Error>,
) -> Result<(), Error> {
    let features = data.features();
    if let Some(all) = contiguous_values(data) {
        if let Some(&index) = indices.iter().find(|&&index| index >= data.rows()) {
            return Err(DataError::RowOutOfRange { index, rows: data.rows() }.into());
        }
        return indices.iter().try_for_each(|&index| visit(index, &all[index * features..][..features]));
    }
    if features == 0 {
        return indices.iter().try_for_each(|&index| visit(index, &[]));
    }
    let mut rows = vec![0.0; ROWS_AT_A_TIME.min(indices.len()) * features];
    for chunk in indices.chunks(ROWS_AT_A_TIME) {
        let rows = &mut rows[..chunk.len() * features];
        data.read_rows(chunk, rows)?;
        for (&index, row) in chunk.iter().zip(rows.chunks_exact(features)) {
            visit(index, row)?;
        }
    }
    Ok(())
}
