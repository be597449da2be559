//! Products and scaling of weight lines against naive `f64` loops, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod packed;

use ae_kernels::panel::Panels;
use ae_kernels::{Element, Isa, unit_norm};
use ae_testing::tolerance::{Float, dot_bound};
use packed::{draw, pack, unpack};

fn check<T: Element + Float>() {
    let shapes = [(1, 1), (2, 0), (3, 7), (5, 8), (8, 16), (17, 17), (31, 33), (64, 65), (131, 100)];
    for (lines, cols) in shapes {
        let [a, b] = [1, 2].map(|seed| draw::<T>(lines * cols, -1.0, 1.0, seed));
        let [packed_a, packed_b] = [&a, &b].map(|values| pack(values, lines, cols));
        let mut fused: Vec<Vec<T>> = Vec::new();
        for isa in Isa::available() {
            let what = format!("[{lines}, {cols}] on {isa}");
            let of = |packed| Panels::new(packed, lines, cols);
            // In parts, as threads would share them, leaving out the last line.
            let mut products = vec![T::from_f64(f64::NAN); lines - 1];
            for (part, products) in products.chunks_mut(5).enumerate() {
                unit_norm::line_products(isa, of(&packed_a), of(&packed_b), part * 5, products);
            }
            for (line, product) in products.iter().enumerate() {
                let terms = (0..cols).map(|c| a[line * cols + c].to_f64() * b[line * cols + c].to_f64());
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                let error = (product.to_f64() - sum).abs();
                assert!(error <= dot_bound::<T>(cols, size), "{what}, line {line}: {product:?} for {sum}");
            }
            let (mut scaled, mut less) = (packed_a.clone(), packed_a.clone());
            let panels =
                scaled.chunks_exact_mut(lines * T::PANEL).zip(less.chunks_exact_mut(lines * T::PANEL));
            for ((scaled, less), other) in panels.zip(packed_b.chunks_exact(lines * T::PANEL)) {
                unit_norm::scale_lines(isa, &products, scaled);
                unit_norm::subtract_lines(isa, &products, other, less);
            }
            let wide =
                |packed: &[T]| unpack(packed, lines, cols).iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
            let (scaled, less) = (wide(&scaled), wide(&less));
            for at in 0..lines * cols {
                let (x, y) = (a[at].to_f64(), b[at].to_f64());
                let factor = products.get(at / cols).map(|f| f.to_f64());
                let (times, minus) = factor.map_or((x, x), |f| (f * x, x - f * y));
                let size = 1.0 + factor.map_or(0.0, f64::abs);
                let bound = dot_bound::<T>(2, size);
                assert!((scaled[at] - times).abs() <= bound, "{what}, {at}: {} for {times}", scaled[at]);
                assert!((less[at] - minus).abs() <= bound, "{what}, {at}: {} for {minus}", less[at]);
            }
            if isa.fuses() {
                fused.push(products);
            }
        }
        assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "[{lines}, {cols}]: bits differ");
    }
}

#[test]
fn lines_like_naive_loops() {
    check::<f32>();
    check::<f64>();
}
