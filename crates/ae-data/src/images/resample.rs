//! Scaling: lines arrive one by one and are added to the output lines that they contribute to.

use super::ImageSize;

/// Scaled levels are rounded to multiples of 1 / `FRACTIONS`, so that equal areas, such as a white
/// margin, stay equal.
const FRACTIONS: f32 = 256.0;

/// The source pixels of an output pixel, and their weights in its mean.
struct Taps {
    start: usize,
    weights: Vec<f32>,
}

impl Taps {
    fn end(&self) -> usize {
        self.start + self.weights.len()
    }
}

/// For each of `to` pixels, returns the pixels out of `from` that it averages, weighted by a triangle
/// that is two pixels of the coarser image wide.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of = |pixel: usize| {
        let centre = (pixel as f64 + 0.5) * scale;
        let weight = |x: usize| (1.0 - ((x as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let near = (centre - reach).floor().max(0.0) as usize..from.min((centre + reach).ceil() as usize + 1);
        let start = near.clone().find(|x| weight(*x) > 0.0).unwrap_or(0);
        let weights: Vec<f64> = (start..near.end).map(weight).take_while(|weight| *weight > 0.0).collect();
        let sum: f64 = weights.iter().sum();
        Taps { start, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
    };
    (0..to).map(of).collect()
}

/// Scales an image of `height` x `width` pixels to `size`, into `out` (zeros). `line(y, pixels)` writes
/// line `y` of the image.
pub(super) fn resample(
    (height, width): (usize, usize),
    size: ImageSize,
    mut line: impl FnMut(usize, &mut [f32]),
    out: &mut [f32],
) {
    let channels = size.channels;
    if (height, width) == (size.height, size.width) {
        out.chunks_exact_mut(width * channels).enumerate().for_each(|(y, pixels)| line(y, pixels));
        return;
    }
    let (down, across) = (taps(height, size.height), taps(width, size.width));
    let (mut wide, mut narrow) = (vec![0.0; width * channels], vec![0.0; size.width * channels]);
    let mut first = 0;
    for y in 0..height {
        line(y, &mut wide);
        for (to, taps) in narrow.chunks_exact_mut(channels).zip(&across) {
            for (channel, to) in to.iter_mut().enumerate() {
                let from = wide[taps.start * channels + channel..].iter().step_by(channels);
                *to = taps.weights.iter().zip(from).map(|(weight, level)| weight * level).sum();
            }
        }
        first += down[first..].iter().take_while(|taps| taps.end() <= y).count();
        let lines = out.chunks_exact_mut(size.width * channels).zip(&down).skip(first);
        for (to, taps) in lines.take_while(|(_, taps)| taps.start <= y) {
            // Lines end in ascending order, except where rounding makes one shorter.
            let Some(weight) = taps.weights.get(y - taps.start) else { continue };
            to.iter_mut().zip(&narrow).for_each(|(to, level)| *to += weight * level);
        }
    }
    out.iter_mut().for_each(|level| *level = ((*level * FRACTIONS).round() / FRACTIONS).clamp(0.0, 255.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(from: &[&[f32]], height: usize, width: usize) -> Vec<f32> {
        let size = ImageSize { height, width, channels: 1 };
        let mut out = vec![0.0; size.features()];
        resample((from.len(), from[0].len()), size, |y, line| line.copy_from_slice(from[y]), &mut out);
        out
    }

    #[test]
    fn means_by_hand() {
        // Halved: the triangle of a pixel covers four, with weights 1, 3, 3, 1.
        let ramp: &[f32] = &[0.0, 8.0, 16.0, 24.0, 32.0, 40.0, 48.0, 56.0];
        assert_eq!(scaled(&[ramp], 1, 4)[1..3], [20.0, 36.0]);
        // At the edge, without the part beyond it: (3 * 0 + 3 * 8 + 16) / 7.
        assert!((scaled(&[ramp], 1, 4)[0] - 40.0 / 7.0).abs() < 1.0 / 256.0);
        // Doubled: linear interpolation between the centres.
        assert_eq!(scaled(&[&[0.0, 16.0]], 1, 4), [0.0, 4.0, 12.0, 16.0]);
        assert_eq!(scaled(&[&[0.0], &[16.0]], 4, 1), [0.0, 4.0, 12.0, 16.0]);
        assert_eq!(scaled(&[&[0.0, 1.5], &[255.0, 7.0]], 2, 2), [0.0, 1.5, 255.0, 7.0]);
    }

    #[test]
    fn what_is_equal_stays_equal() {
        for (height, width) in [(1, 1), (3, 7), (28, 28), (41, 13), (500, 3)] {
            let line = vec![255.0; width];
            let lines = vec![line.as_slice(); height];
            for (to_height, to_width) in [(1, 1), (5, 4), (28, 28), (97, 31)] {
                assert!(scaled(&lines, to_height, to_width).iter().all(|level| *level == 255.0));
            }
        }
    }

    /// Rotating an image by 180° before or after scaling makes no difference.
    #[test]
    fn scaling_is_symmetric() {
        let image: Vec<Vec<f32>> =
            (0..11).map(|y| (0..17).map(|x| ((y * 37 + x * 101) % 256) as f32).collect()).collect();
        let turned: Vec<Vec<f32>> =
            image.iter().rev().map(|line| line.iter().rev().copied().collect()).collect();
        let lines = |image: &[Vec<f32>], height, width| {
            scaled(&image.iter().map(Vec::as_slice).collect::<Vec<_>>(), height, width)
        };
        for (height, width) in [(5, 5), (11, 4), (30, 17), (3, 40)] {
            let (straight, mut back) = (lines(&image, height, width), lines(&turned, height, width));
            back.reverse();
            let apart = straight.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= 2.0 / FRACTIONS, "{height}x{width}: {apart}");
        }
    }
}
