//! Transposed weights against naive loops, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod packed;

use ae_kernels::panel::{self, Panels, PanelsMut, panel_count};
use ae_kernels::{Element, Isa, tied};
use ae_testing::shapes;
use packed::{draw, pack, unpack};

fn check<T: Element>() {
    for [inputs, outputs, _] in shapes::gemm_shapes() {
        if inputs == 0 || outputs == 0 {
            continue;
        }
        let from = draw::<T>((inputs + 1) * outputs, -1.0, 1.0, 1);
        let packed = pack(&from, inputs + 1, outputs);
        let to = draw::<T>((outputs + 1) * inputs, -1.0, 1.0, 2);
        let to_packed = pack(&to, outputs + 1, inputs);
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
                let unpacked = unpack(&result, outputs + 1, inputs);
                assert!(unpacked == expected, "{what}");
                // The padding is correct if packing the result reproduces it.
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
