//! candle on its CPU backend, with the linear layers, loss and optimizers of `candle-nn`.

use candle_core::{DType, Device, Error, Tensor, Var};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, SGD, loss};

use crate::job::{BETAS, EPSILON, Job, LEARNING_RATE, Steps, WEIGHT_DECAY};
use crate::random::Random;

enum Rule {
    Sgd(SGD),
    AdamW(AdamW),
}

/// Training steps in candle.
pub struct CandleSteps {
    layers: Vec<Linear>,
    rule: Rule,
    batches: Vec<Tensor>,
}

impl CandleSteps {
    /// Creates a network; fails if candle lacks the update rule.
    pub fn new(job: &Job) -> Result<CandleSteps, String> {
        let decay = match job.optimizer.as_str() {
            "sgd" => None,
            // AdamW without weight decay is Adam.
            "adam" => Some(0.0),
            "adamw" => Some(WEIGHT_DECAY),
            other => return Err(format!("candle has no {other}")),
        };
        Self::made(job, decay).map_err(|error| error.to_string())
    }

    fn made(job: &Job, decay: Option<f64>) -> Result<CandleSteps, Error> {
        let (mut random, mut layers, mut variables) = (Random::new(0), Vec::new(), Vec::new());
        for (inputs, outputs) in job.layers() {
            let weights = Job::glorot(&mut random, (inputs, outputs));
            // candle's layers store their weights as [out, in].
            let weights = Tensor::from_vec(weights, (inputs, outputs), &Device::Cpu)?.t()?.contiguous()?;
            let weights = Var::from_tensor(&weights)?;
            let bias = Var::zeros(outputs, DType::F32, &Device::Cpu)?;
            layers.push(Linear::new(weights.as_tensor().clone(), Some(bias.as_tensor().clone())));
            variables.extend([weights, bias]);
        }
        let rule = match decay {
            None => Rule::Sgd(SGD::new(variables, job.rate_of_mean())?),
            Some(weight_decay) => {
                let (beta1, beta2) = BETAS;
                let settings = ParamsAdamW { lr: LEARNING_RATE, beta1, beta2, eps: EPSILON, weight_decay };
                Rule::AdamW(AdamW::new(variables, settings)?)
            }
        };
        let shape = (job.batch, job.layer_dims[0]);
        let batches = job.batches().into_iter().map(|rows| Tensor::from_vec(rows, shape, &Device::Cpu));
        Ok(CandleSteps { layers, rule, batches: batches.collect::<Result<_, Error>>()? })
    }

    fn loss(&self, rows: &Tensor) -> Result<Tensor, Error> {
        let mut values = rows.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            values = layer.forward(&values)?;
            if index + 1 < self.layers.len() {
                values = values.relu()?;
            }
        }
        loss::mse(&values, rows)
    }

    fn steps(&mut self) -> Result<f64, Error> {
        let mut last = None;
        for index in 0..self.batches.len() {
            let loss = self.loss(&self.batches[index])?;
            match &mut self.rule {
                Rule::Sgd(rule) => rule.backward_step(&loss)?,
                Rule::AdamW(rule) => rule.backward_step(&loss)?,
            }
            last = Some(loss);
        }
        last.map_or(Ok(f64::NAN), |loss| loss.to_scalar::<f32>().map(f64::from))
    }
}

impl Steps for CandleSteps {
    fn window(&mut self) -> Result<f64, String> {
        self.steps().map_err(|error| error.to_string())
    }
}
