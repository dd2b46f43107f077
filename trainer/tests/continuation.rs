//! A training that is saved and loaded goes on with the same bits.

#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::{ActivationFunction, Hyperparameters, Optimizer};
use trainmaster_domain::training::EncoderType;
use trainmaster_trainer::autoencoder::checkpoint::{self, State};
use trainmaster_trainer::autoencoder::mixing_buffer::Cursor;
use trainmaster_trainer::autoencoder::normalization::Normalization;
use trainmaster_trainer::autoencoder::parameters::{Parameters, Shape};
use trainmaster_trainer::autoencoder::training::Training;

const D: i64 = 16;
const B: i64 = 32;
const STEPS: u64 = 24;

const FUNCTIONS: [ActivationFunction; 5] = [
    ActivationFunction::Relu,
    ActivationFunction::TopK,
    ActivationFunction::BatchTopK,
    ActivationFunction::JumpRelu,
    ActivationFunction::Gated,
];

fn hyperparameters(function: ActivationFunction) -> Hyperparameters {
    let top_k = matches!(
        function,
        ActivationFunction::TopK | ActivationFunction::BatchTopK
    );
    Hyperparameters {
        learning_rate: 0.01,
        batch_size: B as u32,
        l1_coefficient: 2.0,
        expansion_factor: 4,
        training_steps: STEPS as u32,
        activation_function: Some(function),
        top_k: top_k.then_some(3),
        jump_threshold: Some(0.2),
        jump_bandwidth: Some(0.2),
        // All care of dead latents at once, on latents that die soon.
        ghost_grad_penalty: true,
        aux_k_coefficient: Some(0.1),
        aux_k: Some(4),
        dead_window_steps: 3,
        resample_interval: Some(5),
        gradient_clip: Some(0.5),
        ..Hyperparameters::default()
    }
}

fn begin(h: &Hyperparameters, encoder_type: EncoderType) -> Training {
    let shape = Shape::of(h, encoder_type, D, D);
    let mean = Tensor::zeros([D], (Kind::Float, Device::Cpu));
    let parameters = Parameters::initial(shape, h, &mean, &mean).unwrap();
    Training::new(h, parameters, Kind::Float).unwrap()
}

/// Input and target of a step.
fn data(step: u64, encoder_type: EncoderType) -> (Tensor, Tensor) {
    // Tensors are too small to share out.
    tch::set_num_threads(1);
    tch::manual_seed(step as i64);
    let normal = || Tensor::randn([B, D], (Kind::Float, Device::Cpu));
    let x = normal();
    let y = if encoder_type == EncoderType::Sparse {
        x.shallow_clone()
    } else {
        normal()
    };
    (x, y)
}

fn run(training: &mut Training, until: u64, encoder_type: EncoderType) {
    while training.step < until {
        let (x, y) = data(training.step, encoder_type);
        training
            .step(&x, &y, training.step.is_multiple_of(3))
            .unwrap();
    }
}

fn save_and_load(training: &Training, h: &Hyperparameters) -> Training {
    let directory = tempfile::tempdir().unwrap();
    let shape = training.parameters.shape;
    let state = State {
        format: State::FORMAT,
        step: training.step,
        encoder_type: shape.encoder_type,
        d_in: shape.d_in,
        d_out: shape.d_out,
        d_sae: shape.d_sae,
        seed: h.seed,
        passes: 1,
        passes_per_block: 1,
        held_out_sequences: 0,
        target_normalization: None,
        cursor: Cursor::default(),
        normalization: Normalization {
            scale: 1.0,
            largest_norm: 1.0,
        },
        bf16: false,
    };
    checkpoint::save(directory.path(), &state, training).unwrap();
    let state = checkpoint::read_state(directory.path()).unwrap();
    checkpoint::load(directory.path(), &state, h, Device::Cpu).unwrap()
}

fn same_bits(a: &Training, b: &Training) -> bool {
    a.tensors()
        .iter()
        .zip(b.tensors())
        .all(|((name, a), (_, b))| {
            // The threshold that BatchTopK has not got is not a number.
            a.equal(&b)
                || (*name == "cut"
                    && a.isnan().equal(&b.isnan())
                    && a.isnan().any().int64_value(&[]) == 1)
        })
}

#[test]
fn a_training_in_two_parts_ends_with_the_bits_of_one_in_one() {
    for encoder_type in [
        EncoderType::Sparse,
        EncoderType::Transcoder,
        EncoderType::Skip,
    ] {
        for function in FUNCTIONS {
            let h = hyperparameters(function);
            let mut whole = begin(&h, encoder_type);
            run(&mut whole, STEPS, encoder_type);
            // Before the first resampling, and at one.
            for middle in [4, 10] {
                let mut first = begin(&h, encoder_type);
                run(&mut first, middle, encoder_type);
                let mut second = save_and_load(&first, &h);
                assert!(same_bits(&first, &second));
                run(&mut second, STEPS, encoder_type);
                assert!(
                    same_bits(&whole, &second),
                    "{function:?}, {encoder_type:?}, cut at {middle}"
                );
            }
            let norm = whole.parameters.flat.norm().double_value(&[]);
            assert!(norm.is_finite(), "{function:?}, {encoder_type:?}");
        }
    }
}

#[test]
fn resampling_gives_dead_latents_new_weights_and_no_memory() {
    let h = Hyperparameters {
        // Nothing fires.
        jump_threshold: Some(1e6),
        ghost_grad_penalty: false,
        aux_k_coefficient: None,
        resample_interval: Some(4),
        optimizer: Optimizer::Adam,
        ..hyperparameters(ActivationFunction::JumpRelu)
    };
    let mut training = begin(&h, EncoderType::Sparse);
    run(&mut training, 3, EncoderType::Sparse);
    let before = training.parameters.flat.copy();
    let before = Parameters::of(before, training.parameters.shape).unwrap();
    // So little that the weights stay where they are.
    let _ = training.optimizer.first_moment.fill_(1e-12);
    run(&mut training, 4, EncoderType::Sparse);
    let p = &training.parameters;
    // 64 latents are dead and the batch has 32 activations: each is given once.
    let latents = training.since_fired.eq(0).nonzero().view([-1]);
    assert_eq!(latents.size(), [B]);
    let moments = Parameters::of(training.optimizer.first_moment.copy(), p.shape).unwrap();
    let of_them = |of: &Tensor| of.index_select(0, &latents).abs().max().double_value(&[]);
    assert_eq!(of_them(&moments.encoder), 0.0);
    assert_eq!(of_them(&moments.decoder), 0.0);
    assert!(moments.encoder.abs().max().double_value(&[]) > 1e-13);

    let (x, _) = data(3, EncoderType::Sparse);
    let centred = x - &before.decoder_bias;
    let unit = |rows: &Tensor| rows / rows.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
    let likeness = unit(&p.decoder.index_select(0, &latents)).matmul(&unit(&centred).tr());
    let (best, whose) = likeness.max_dim(1, false);
    assert!(best.min().double_value(&[]) > 0.99);
    let (whose, ..) = whose.unique_dim(0, true, false, false);
    assert_eq!(whose.size(), [B]);
}

#[test]
fn gradients_are_clipped_to_their_largest_norm() {
    let h = Hyperparameters {
        optimizer: Optimizer::Sgd,
        beta1: 0.0,
        learning_rate: 1.0,
        lr_schedule: trainmaster_domain::hyperparameters::LrSchedule::Constant,
        gradient_clip: Some(0.01),
        resample_interval: None,
        ..hyperparameters(ActivationFunction::Relu)
    };
    let mut training = begin(&h, EncoderType::Sparse);
    let before = training.parameters.flat.copy();
    run(&mut training, 1, EncoderType::Sparse);
    let moved = (&training.parameters.flat - before)
        .norm()
        .double_value(&[]);
    assert!((moved - 0.01).abs() < 1e-4, "moved by {moved}");
}

#[test]
fn a_checkpoint_of_another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("state.json"), r#"{"format": 1}"#).unwrap();
    let refused = checkpoint::read_state(directory.path()).unwrap_err();
    assert!(refused.to_string().contains("format 1"), "{refused}");
}
