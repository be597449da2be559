//! Generated images of curves, after the synthetic dataset of Hinton & Salakhutdinov, "Reducing the
//! Dimensionality of Data with Neural Networks", Science 313:504, 2006: each image shows a smooth curve
//! through three random points, so it has six degrees of freedom although it has 784 pixels.
//!
//! The paper does not say how its curves were drawn, but it gives the error that principal components
//! leave: with 18 of them, a squared error of 5.90 per image (fig. 2A). Pen and margin are chosen so
//! that these images are equally hard.

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::split::Rng;

/// Pixels per side.
const SIDE: usize = 28;
/// Distance of the points from the edge, as a fraction of the side: large enough to keep the whole curve
/// inside.
const MARGIN: f64 = 0.18;
/// Distance from the curve, in pixels, at which the ink ends.
const PEN: f64 = 3.0;
/// Steps along the curve. Its speed is at most twice the diagonal of the area of the points, so
/// neighbouring steps are less than half a pixel apart.
const STEPS: usize = 128;
/// Maximum number of images; they take 3.1 GB.
const LIMIT: usize = 1_000_000;

/// Generates `rows` images of 28 x 28 pixels with values from 0 to 1. Each image has three points,
/// uniform inside a margin, and the parabolic arc that starts at the first, heads for the second and
/// ends at the third (their quadratic Bézier curve), drawn with a soft round pen: ink `(1 - (d / 3)²)⁴`
/// at a distance of `d` pixels.
///
/// Each image depends only on the seed and its index, so a smaller dataset is a prefix of a larger one.
///
/// # Errors
/// [`DataError::BuiltIn`] unless `rows` is from 1 to 1,000,000.
pub fn curves(rows: usize, seed: u64) -> Result<Dataset, DataError> {
    if !(1..=LIMIT).contains(&rows) {
        return Err(DataError::BuiltIn { location: format!("curves:{rows}:{seed}") });
    }
    let mut values = vec![0.0; rows * SIDE * SIDE];
    for (index, image) in values.chunks_exact_mut(SIDE * SIDE).enumerate() {
        // Each image has its own generator, seeded from the seed of the dataset and the index of the
        // image.
        let mut seeds = Rng::new(seed ^ (index as u64).wrapping_mul(0xd134_2543_de82_ef95));
        draw(&mut Rng::new(seeds.next_u64()), image);
    }
    Dataset::new(values, SIDE * SIDE)
}

fn draw(rng: &mut Rng, image: &mut [f32]) {
    let mut coordinate = || (MARGIN + (1.0 - 2.0 * MARGIN) * rng.unit()) * SIDE as f64;
    let [p, q, r]: [[f64; 2]; 3] = std::array::from_fn(|_| [coordinate(), coordinate()]);
    // Squared distance of each pixel's centre from the nearest point of the curve.
    let mut nearest = [f64::INFINITY; SIDE * SIDE];
    for step in 0..=STEPS {
        let t = step as f64 / STEPS as f64;
        // The Bernstein polynomials of degree 2.
        let weights = [(1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t];
        let at = |axis: usize| weights[0] * p[axis] + weights[1] * q[axis] + weights[2] * r[axis];
        let (x, y) = (at(0), at(1));
        let span = |centre: f64| {
            let low = (centre - PEN - 0.5).floor().clamp(0.0, SIDE as f64) as usize;
            let high = (centre + PEN + 0.5).ceil().clamp(0.0, SIDE as f64) as usize;
            low..high
        };
        for row in span(y) {
            for column in span(x) {
                let (dx, dy) = (column as f64 + 0.5 - x, row as f64 + 0.5 - y);
                let distance = &mut nearest[row * SIDE + column];
                *distance = distance.min(dx * dx + dy * dy);
            }
        }
    }
    for (pixel, squared) in image.iter_mut().zip(nearest) {
        let ink = (1.0 - squared / (PEN * PEN)).max(0.0);
        *pixel = (ink * ink * (ink * ink)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_what_they_always_were() {
        let curves = curves(64, 0).unwrap();
        assert!(curves.values().iter().all(|x| (0.0..=1.0).contains(x)));
        let inked = curves.values().iter().filter(|x| **x > 0.0).count() as f64 / 64.0;
        assert!((50.0..250.0).contains(&inked), "{inked} pixels per image");
        let hash = curves.values().iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, x| {
            (hash ^ (x * 100.0).round() as u64).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, 1_338_350_336_180_034_420);
    }

    #[test]
    fn each_image_depends_on_seed_and_place_alone() {
        let many = curves(20, 3).unwrap();
        assert_eq!(curves(5, 3).unwrap().values(), &many.values()[..5 * 784]);
        assert_ne!(curves(5, 4).unwrap().values(), &many.values()[..5 * 784]);
        assert_ne!(many.row(0), many.row(1));
        assert!(curves(0, 0).is_err() && curves(usize::MAX, 0).is_err());
    }
}
