//! Similarity of images: PSNR and SSIM.

use ae_data::BatchSource;
use ae_model::Image;

use crate::blocks::{for_each_block, for_each_pair, non_empty_shape};
use crate::error::EvalError;
use crate::metrics::check_same_len;

/// Side of the window in pixels.
const WINDOW: usize = 11;
/// Standard deviation of the window, in pixels.
const SIGMA: f64 = 1.5;
const K1: f64 = 0.01;
const K2: f64 = 0.03;

/// The peak signal-to-noise ratio in decibels, `10 log₁₀(range² / MSE)`.
///
/// `range` is the difference between the largest and the smallest possible value: 1 for values in [0,
/// 1], 255 for bytes. The ratio of identical images is infinite; missing values are left out.
///
/// # Errors
/// [`EvalError::Count`] if the slices differ in length, [`EvalError::NoValues`] if they have no known
/// values, [`EvalError::InvalidSetting`] for a range that is not positive and finite.
pub fn psnr(x: &[f32], y: &[f32], range: f64) -> Result<f64, EvalError> {
    check_range(range)?;
    check_same_len(x, y)?;
    let known: Vec<f64> = x
        .iter()
        .zip(y)
        .filter(|(x, _)| !x.is_nan())
        .map(|(x, y)| (f64::from(*y) - f64::from(*x)).powi(2))
        .collect();
    if known.is_empty() {
        return Err(EvalError::NoValues);
    }
    let mse = known.iter().sum::<f64>() / known.len() as f64;
    Ok(10.0 * (range * range / mse).log10())
}

/// The mean structural similarity of two images (Wang, Bovik, Sheikh & Simoncelli 2004, eq. 13 and 17);
/// 1 if they are identical.
///
/// With means `μ`, variances `σ²` and covariance `σₓᵧ` under a Gaussian window of 11x11 pixels (σ = 1.5,
/// weights that sum to 1), it is `((2 μₓμᵧ + C₁)(2 σₓᵧ + C₂)) / ((μₓ² + μᵧ² + C₁)(σₓ² + σᵧ² + C₂))`,
/// where `C₁ = (0.01 range)²` and `C₂ = (0.03 range)²`, averaged over the channels and all positions
/// where the window lies within the image. This matches scikit-image's
/// `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`. A missing
/// value makes it NaN.
///
/// # Errors
/// [`EvalError::Count`] if a slice does not have the size of the image, [`EvalError::SmallImages`] for
/// an image smaller than the window, [`EvalError::InvalidSetting`] for a range that is not positive and
/// finite.
pub fn ssim(x: &[f32], y: &[f32], image: Image, range: f64) -> Result<f64, EvalError> {
    check_range(range)?;
    let Image { height, width, channels } = image;
    let features = image.features();
    if let Some(wrong) = [x, y].into_iter().find(|values| values.len() != features) {
        return Err(EvalError::Count { what: "values per image", expected: features, got: wrong.len() });
    }
    if height < WINDOW || width < WINDOW {
        return Err(EvalError::SmallImages { height, width, min: WINDOW });
    }
    let (c1, c2) = ((K1 * range).powi(2), (K2 * range).powi(2));
    let weights = weights();
    let (mut sum, mut count) = (0.0, 0usize);
    for channel in 0..channels {
        let plane = |values: &[f32]| -> Vec<f64> {
            values.iter().skip(channel).step_by(channels).map(|value| f64::from(*value)).collect()
        };
        let (x, y) = (plane(x), plane(y));
        let of = |a: &[f64], b: &[f64]| {
            let product: Vec<f64> = a.iter().zip(b).map(|(a, b)| a * b).collect();
            windowed(&product, width, &weights)
        };
        let (mx, my) = (windowed(&x, width, &weights), windowed(&y, width, &weights));
        let (xx, yy, xy) = (of(&x, &x), of(&y, &y), of(&x, &y));
        for i in 0..mx.len() {
            let (mx, my) = (mx[i], my[i]);
            let (vx, vy, vxy) = (xx[i] - mx * mx, yy[i] - my * my, xy[i] - mx * my);
            sum += (2.0 * mx * my + c1) * (2.0 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2));
        }
        count += mx.len();
    }
    Ok(sum / count as f64)
}

/// Similarity of images and their reconstructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageErrors {
    /// Mean [`psnr`] over the images that are not reconstructed exactly, whose ratio is infinite;
    /// infinite if all are.
    pub psnr: f64,
    /// Number of images that are reconstructed exactly.
    pub exact: usize,
    /// Mean [`ssim`] over the images without missing values; `None` if there are none, or if the images
    /// are smaller than its window.
    pub ssim: Option<f64>,
    /// Number of images.
    pub images: usize,
}

impl ImageErrors {
    /// Compares images `[images, features]` with their reconstructions. An image without known values
    /// counts towards neither mean.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows that do not have the size of the image, [`EvalError::Empty`] for
    /// none, [`EvalError::RowCount`] for different numbers of rows, [`EvalError::InvalidSetting`] for a
    /// range that is not positive and finite, or an error from reading the rows.
    pub fn compare(
        images: &dyn BatchSource,
        reconstructions: &dyn BatchSource,
        image: Image,
        range: f64,
    ) -> Result<ImageErrors, EvalError> {
        check_range(range)?;
        let ((count, got), features) = (non_empty_shape(images)?, image.features());
        if got != features {
            return Err(EvalError::Width { expected: features, got });
        }
        let has_ssim = image.height >= WINDOW && image.width >= WINDOW;
        let (mut ratios, mut exact, mut similarities) = (Vec::new(), 0, Vec::new());
        for_each_pair(images, reconstructions, "the reconstructions", |x, y| {
            for (x, y) in x.chunks_exact(features).zip(y.chunks_exact(features)) {
                match psnr(x, y, range) {
                    Ok(ratio) if ratio == f64::INFINITY => exact += 1,
                    Ok(ratio) => ratios.push(ratio),
                    Err(_) => {}
                }
                if has_ssim && !x.iter().any(|x| x.is_nan()) {
                    similarities.extend(ssim(x, y, image, range));
                }
            }
        })?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let psnr = if ratios.is_empty() && exact > 0 { f64::INFINITY } else { mean(&ratios) };
        let ssim = (!similarities.is_empty()).then(|| mean(&similarities));
        Ok(ImageErrors { psnr, exact, ssim, images: count })
    }
}

/// The default data range of images: 1 if all values are in [0, 1] or equal, else the largest minus the
/// smallest.
///
/// # Errors
/// [`EvalError::NoValues`] if no value is known, or an error from reading the rows.
pub fn data_range(rows: &dyn BatchSource) -> Result<f64, EvalError> {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for_each_block(rows, |block| {
        for x in block.iter().filter(|x| !x.is_nan()) {
            (low, high) = (low.min(*x), high.max(*x));
        }
    })?;
    let spread = f64::from(high) - f64::from(low);
    match (low >= 0.0 && high <= 1.0, spread > 0.0) {
        _ if low > high => Err(EvalError::NoValues),
        (false, true) => Ok(spread),
        _ => Ok(1.0),
    }
}

fn check_range(range: f64) -> Result<(), EvalError> {
    if range > 0.0 && range.is_finite() {
        return Ok(());
    }
    Err(EvalError::InvalidSetting { field: "the data range", allowed: "above 0 and finite" })
}

/// The window along one axis: the two-dimensional window is separable.
fn weights() -> [f64; WINDOW] {
    let centre = (WINDOW / 2) as f64;
    let raw: [f64; WINDOW] = std::array::from_fn(|i| (-0.5 * ((i as f64 - centre) / SIGMA).powi(2)).exp());
    let sum: f64 = raw.iter().sum();
    raw.map(|weight| weight / sum)
}

/// Weighted means of a plane `[height, width]` at all positions of the window,
/// `[height - 10, width - 10]`.
fn windowed(plane: &[f64], width: usize, weights: &[f64; WINDOW]) -> Vec<f64> {
    let wide = width - WINDOW + 1;
    let mut lines = Vec::with_capacity(plane.len());
    for line in plane.chunks_exact(width) {
        lines.extend(
            line.windows(WINDOW).map(|part| part.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>()),
        );
    }
    let high = plane.len() / width - WINDOW + 1;
    let mut means = vec![0.0; high * wide];
    for (r, means) in means.chunks_exact_mut(wide).enumerate() {
        for (k, weight) in weights.iter().enumerate() {
            let line = &lines[(r + k) * wide..][..wide];
            means.iter_mut().zip(line).for_each(|(mean, x)| *mean += weight * x);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use ae_data::Rows;

    use super::*;

    /// Two images `[height, width, channels]` of multiples of 1/16.
    fn pair(height: usize, width: usize, channels: usize) -> (Vec<f32>, Vec<f32>) {
        let places = (0..height * width * channels)
            .map(|i| (i / (width * channels), i / channels % width, i % channels));
        let value = |step: usize| (step % 17) as f32 / 16.0;
        places
            .map(|(r, c, k)| {
                let step = 3 * r + 5 * c + 7 * k;
                (value(step), value(step + (r * c + k) % 3))
            })
            .unzip()
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} {expected}");
    }

    /// Expected values from scikit-image 0.26.0, in double precision.
    #[test]
    fn as_scikit_image() {
        let grey = Image { height: 13, width: 17, channels: 1 };
        let (x, y) = pair(13, 17, 1);
        near(ssim(&x, &y, grey, 1.0).unwrap(), 0.7987703701799386);
        near(ssim(&x, &y, grey, 2.0).unwrap(), 0.8016140602839508);
        near(psnr(&x, &y, 1.0).unwrap(), 14.810229376181283);
        near(psnr(&x, &y, 2.0).unwrap(), 20.830829289460905);
        // Scaling the values and the range alike changes nothing.
        let wide = |values: &[f32]| -> Vec<f32> { values.iter().map(|value| 255.0 * value).collect() };
        near(ssim(&wide(&x), &wide(&y), grey, 255.0).unwrap(), 0.7987703701799385);

        let colour = Image { height: 12, width: 11, channels: 3 };
        let (x, y) = pair(12, 11, 3);
        near(ssim(&x, &y, colour, 1.0).unwrap(), 0.7074703112746104);
        near(psnr(&x, &y, 1.0).unwrap(), 12.086676104066454);

        let smooth = Image { height: 16, width: 16, channels: 1 };
        let (x, y): (Vec<f32>, Vec<f32>) = (0..256)
            .map(|i| (i / 16, i % 16))
            .map(|(r, c)| ((r + c) as f32 / 32.0, (r + c) as f32 / 32.0 + ((r * c) % 4) as f32 / 64.0))
            .unzip();
        near(ssim(&x, &y, smooth, 1.0).unwrap(), 0.9689486644308397);
        near(psnr(&x, &y, 1.0).unwrap(), 32.601774298564116);
    }

    #[test]
    fn by_hand() {
        // MSE (0 + 1/4) / 2; the missing value is left out.
        near(psnr(&[0.0, 0.5, f32::NAN], &[0.0, 1.0, 3.0], 1.0).unwrap(), 10.0 * 8f64.log10());
        let image = Image { height: 11, width: 11, channels: 1 };
        let (x, y) = ([0.25; 121], [0.75; 121]);
        assert_eq!(ssim(&x, &x, image, 1.0).unwrap(), 1.0);
        // Without variance only the means count.
        near(ssim(&x, &y, image, 1.0).unwrap(), (0.375 + 1e-4) / (0.625 + 1e-4));
        assert_eq!(psnr(&x, &x, 1.0).unwrap(), f64::INFINITY);

        let (two, reconstructed) = ([x, x].concat(), [y, x].concat());
        let rows = |values| Rows::new(values, 121).unwrap();
        let errors = ImageErrors::compare(&rows(&two), &rows(&reconstructed), image, 1.0).unwrap();
        assert_eq!((errors.exact, errors.images), (1, 2));
        near(errors.psnr, 10.0 * 4f64.log10());
        near(errors.ssim.unwrap(), (1.0 + (0.375 + 1e-4) / (0.625 + 1e-4)) / 2.0);
        // An image with a missing value has a PSNR only.
        let mut hole = two.clone();
        hole[0] = f32::NAN;
        let errors = ImageErrors::compare(&rows(&hole), &rows(&reconstructed), image, 1.0).unwrap();
        assert_eq!((errors.exact, errors.ssim), (1, Some(1.0)));
        near(errors.psnr, 10.0 * 4f64.log10());
    }

    /// The mean of ratios in decibels is not the ratio of all pixels together.
    #[test]
    fn ratios_are_averaged_over_images() {
        let image = Image { height: 1, width: 2, channels: 1 };
        let rows = |values| Rows::new(values, 2).unwrap();
        let x = [0.0, 0.0, 0.0, 0.0, f32::NAN, f32::NAN, 0.0, 0.0];
        // 20 and 40 dB, one image without known values, one reconstructed exactly.
        let y = [0.1, 0.1, 0.01, 0.01, 1.0, 1.0, 0.0, 0.0];
        let errors = ImageErrors::compare(&rows(&x), &rows(&y), image, 1.0).unwrap();
        assert!((errors.psnr - 30.0).abs() < 1e-5, "{errors:?}");
        assert_eq!((errors.exact, errors.images, errors.ssim), (1, 4, None));
        let exact = ImageErrors::compare(&rows(&x[..4]), &rows(&x[..4]), image, 1.0).unwrap();
        assert_eq!((exact.psnr, exact.exact), (f64::INFINITY, 2));
    }

    #[test]
    fn ranges() {
        let range = |values: &[f32]| data_range(&Rows::new(values, values.len()).unwrap()).unwrap();
        assert_eq!(range(&[0.25, 0.5]), 1.0);
        assert_eq!(range(&[0.0, f32::NAN, 16.0]), 16.0);
        assert_eq!(range(&[-1.0, 1.0]), 2.0);
        assert_eq!(range(&[7.0, 7.0]), 1.0);
        assert!(data_range(&Rows::new(&[f32::NAN], 1).unwrap()).is_err());
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let image = Image { height: 11, width: 11, channels: 1 };
        let fine = [0.5; 121];
        assert!(matches!(ssim(&fine, &fine[1..], image, 1.0), Err(EvalError::Count { got: 120, .. })));
        let small = Image { height: 8, width: 8, channels: 1 };
        let error = ssim(&[0.5; 64], &[0.5; 64], small, 1.0).unwrap_err().to_string();
        assert_eq!(error, "SSIM needs images of at least 11x11 pixels, but these are 8x8");
        for range in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(ssim(&fine, &fine, image, range).is_err() && psnr(&fine, &fine, range).is_err());
        }
        assert!(matches!(psnr(&[f32::NAN], &[1.0], 1.0), Err(EvalError::NoValues)));
        let said = psnr(&[1.0], &[], 1.0).unwrap_err().to_string();
        assert_eq!(said, "expected 1 values to compare with, got 0");
        let rows = Rows::new(&[0.5; 64], 64).unwrap();
        assert_eq!(ImageErrors::compare(&rows, &rows, small, 1.0).unwrap().ssim, None);
        assert!(ImageErrors::compare(&rows, &rows, image, 1.0).is_err());
        let other = Rows::new(&[0.5; 128], 64).unwrap();
        assert!(ImageErrors::compare(&rows, &other, small, 1.0).is_err());
    }
}
