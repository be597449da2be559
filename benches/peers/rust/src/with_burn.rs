//! burn on Flex, its CPU backend in Rust, with its own linear layers, loss and optimizers.

use burn::module::{Module, Param};
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

use crate::job::{BETAS, EPSILON, Job, LEARNING_RATE, MOMENTUM, Steps, WEIGHT_DECAY};
use crate::random::Random;

/// The layers, in the form that burn's optimizers require.
#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
}

/// Training steps in burn.
pub struct BurnSteps {
    /// `None` only while a step replaces it.
    network: Option<Network>,
    rule: ModuleOptimizer,
    rate: f64,
    batches: Vec<Tensor<2>>,
}

impl BurnSteps {
    /// Creates a network; fails if burn lacks the update rule.
    pub fn new(job: &Job) -> Result<BurnSteps, String> {
        let momentum = |nesterov| {
            let momentum = MomentumConfig::new().with_momentum(MOMENTUM).with_dampening(0.0);
            SgdConfig::new().with_momentum(Some(momentum.with_nesterov(nesterov))).init()
        };
        let (first, second, epsilon) = (BETAS.0 as f32, BETAS.1 as f32, EPSILON as f32);
        let (rule, rate) = match job.optimizer.as_str() {
            "sgd" => (SgdConfig::new().init(), job.rate_of_mean()),
            "momentum" => (momentum(false), job.rate_of_mean()),
            "nesterov" => (momentum(true), job.rate_of_mean()),
            "adam" => {
                let rule = AdamConfig::new().with_beta_1(first).with_beta_2(second).with_epsilon(epsilon);
                (rule.init(), LEARNING_RATE)
            }
            "adamw" => {
                let rule = AdamWConfig::new().with_beta_1(first).with_beta_2(second).with_epsilon(epsilon);
                (rule.with_weight_decay(WEIGHT_DECAY as f32).init(), LEARNING_RATE)
            }
            other => return Err(format!("burn has no {other}")),
        };
        let device = Device::flex().autodiff();
        let mut random = Random::new(0);
        let layers = job.layers().map(|(inputs, outputs)| {
            let weights = TensorData::new(Job::glorot(&mut random, (inputs, outputs)), [inputs, outputs]);
            let mut layer = LinearConfig::new(inputs, outputs).init(&device);
            layer.weight = Param::from_data(weights, &device);
            layer.bias = Some(Param::from_data(TensorData::new(vec![0f32; outputs], [outputs]), &device));
            layer
        });
        let network = Network { layers: layers.collect() };
        let shape = [job.batch, job.layer_dims[0]];
        let rows = |rows| Tensor::from_data(TensorData::new(rows, shape), &device);
        let batches = job.batches().into_iter().map(rows).collect();
        Ok(BurnSteps { network: Some(network), rule, rate, batches })
    }
}

impl Network {
    fn loss(&self, rows: &Tensor<2>) -> Tensor<1> {
        let mut values = rows.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            values = layer.forward(values);
            if index + 1 < self.layers.len() {
                values = relu(values);
            }
        }
        MseLoss::new().forward(values, rows.clone(), Reduction::Mean)
    }
}

impl Steps for BurnSteps {
    fn window(&mut self) -> Result<f64, String> {
        let mut last = None;
        for rows in &self.batches {
            let network = self.network.take().ok_or("the last step failed")?;
            let loss = network.loss(rows);
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            self.network = Some(self.rule.step(self.rate, network, gradients));
            last = Some(loss);
        }
        Ok(last.map_or(f64::NAN, |loss| loss.into_scalar::<f64>()))
    }
}
