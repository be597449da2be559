//! Transposed weights against naive loops, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len};
use ae_kernels::{Element, Isa, tied};
use ae_testing::random::SplitMix64;
use ae_testing::shapes;

/// `[inputs + 1, outputs]` in panels.
fn draw<T: Element>(inputs: usize, outputs: usize, seed: u64) -> (Vec<T>, Vec<T>) {
    let values = SplitMix64::new(seed).uniform_f64s((inputs + 1) * outputs, -1.0, 1.0);
    let values: Vec<T> = values.into_iter().map(T::from_f64).collect();
    let mut packed = vec![T::ZERO; panel_len::<T>(inputs + 1, outputs)];
    panel::pack(&values, PanelsMut::new(&mut packed, inputs + 1, outputs));
    (values, packed)
}

fn check<T: Element>() {
    for [inputs, outputs, _] in shapes::gemm_shapes() {
        if inputs == 0 || outputs == 0 {
            continue;
        }
        let (from, packed) = draw::<T>(inputs, outputs, 1);
        let (to, to_packed) = draw::<T>(outputs, inputs, 2);
        for isa in Isa::available() {
            for add in [false, true] {
                let mut result = to_packed.clone();
                let weights = Panels::new(&packed, inputs + 1, outputs);
                for (index, panel) in result.chunks_exact_mut((outputs + 1) * T::PANEL).enumerate() {
                    if add {
                        tied::add_transposed(isa, weights, index, panel);
                    } else {
                        tied::transpose(isa, weights, index, panel);
                    }
                }
                let mut expected = to.clone();
                for (i, row) in from.chunks_exact(outputs).take(inputs).enumerate() {
                    for (j, w) in row.iter().enumerate() {
                        let place = &mut expected[j * inputs + i];
                        *place = if add { *place + *w } else { *w };
                    }
                }
                let what = format!("[{inputs}, {outputs}] on {isa}, added: {add}");
                let mut unpacked = vec![T::ZERO; (outputs + 1) * inputs];
                panel::unpack(Panels::new(&result, outputs + 1, inputs), &mut unpacked);
                assert!(unpacked == expected, "{what}");
                // The padding is as it should be: packing the result gives it again.
                let mut again = vec![T::ONE; result.len()];
                panel::pack(&unpacked, PanelsMut::new(&mut again, outputs + 1, inputs));
                assert!(again == result, "{what}: padding");
                assert_eq!(result.len(), panel_count::<T>(inputs) * (outputs + 1) * T::PANEL);
            }
        }
    }
}

#[test]
fn transposed_like_naive_loops() {
    check::<f32>();
    check::<f64>();
}
