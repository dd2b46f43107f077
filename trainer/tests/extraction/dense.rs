//! The sparse way and the direct one find the same.

use crate::fixture::{Fixture, site};
use tch::{Kind, Tensor};
use trainmaster_trainer::features::pass::{Pass, PassOptions, Site};
use trainmaster_trainer::features::sample::Sample;
use trainmaster_trainer::language_model::{HookPoint, Site as Place};

const SEQUENCES: u32 = 30;
const TOP_K: usize = 5;
const CONTEXT: usize = 4;

fn options(threads: usize) -> PassOptions {
    PassOptions {
        sample: Sample::new(SEQUENCES, SEQUENCES),
        top_k: TOP_K,
        context: CONTEXT as u16,
        codes: true,
        threads,
    }
}

fn pass(fixture: &Fixture, sites: &[Site], threads: usize) -> Pass {
    let mut pass = Pass::new(sites, options(threads));
    while !pass.is_done() {
        pass.step(&fixture.model, &fixture.dataset, sites).unwrap();
    }
    pass
}

/// An example as the direct computation finds it.
#[derive(Debug, PartialEq)]
struct Direct {
    strength: f32,
    sequence: u32,
    position: usize,
    window: std::ops::Range<usize>,
    activations: Vec<f32>,
}

/// All latents of all tokens (0 where there is no text): [sequences, context length, latents], and where there is text.
fn dense(fixture: &Fixture, site: &Site) -> (Tensor, Vec<Vec<bool>>) {
    let numbers: Vec<u64> = (0..u64::from(SEQUENCES)).collect();
    let batch = fixture.dataset.batch(&numbers).unwrap();
    let activations = &fixture
        .model
        .activations(&batch.tokens, &[site.reads])
        .unwrap()[0];
    let shape = batch.tokens.size();
    let text = batch.is_text.view([-1]).nonzero().view([-1]);
    let rows = activations.reshape([shape[0] * shape[1], -1]);
    let latents = site
        .autoencoder
        .encode(&rows.index_select(0, &text))
        .unwrap();
    let all = Tensor::zeros(
        [shape[0] * shape[1], site.latents as i64],
        (Kind::Float, tch::Device::Cpu),
    );
    let all = all.index_copy(0, &text, &latents);
    let is_text: Vec<bool> = Vec::try_from(batch.is_text.view([-1])).unwrap();
    let is_text = is_text
        .chunks(shape[1] as usize)
        .map(<[bool]>::to_vec)
        .collect();
    (all.view([shape[0], shape[1], -1]), is_text)
}

fn direct_examples(dense: &Tensor, is_text: &[Vec<bool>], latent: usize) -> Vec<Direct> {
    let mut found = Vec::new();
    for (sequence, is_text) in is_text.iter().enumerate() {
        let values = dense.get(sequence as i64).select(1, latent as i64);
        let values: Vec<f32> = Vec::try_from(values.contiguous()).unwrap();
        let strength = values.iter().copied().fold(0.0, f32::max);
        if strength == 0.0 {
            continue;
        }
        let position = values.iter().position(|value| *value == strength).unwrap();
        let start = (position.saturating_sub(CONTEXT)..position)
            .rev()
            .take_while(|at| is_text[*at])
            .last()
            .unwrap_or(position);
        let end = (position..is_text.len().min(position + CONTEXT + 1))
            .take_while(|at| is_text[*at])
            .last()
            .unwrap()
            + 1;
        found.push(Direct {
            strength,
            sequence: sequence as u32,
            position,
            window: start..end,
            activations: values[start..end].to_vec(),
        });
    }
    found.sort_by(|left, right| right.strength.total_cmp(&left.strength));
    found.truncate(TOP_K);
    found
}

#[test]
fn every_number_is_what_a_direct_computation_finds() {
    let fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    let points = [
        (0, Place::MlpOutput, 48),
        (1, Place::Residual, 96),
        (1, Place::MlpInput, 70),
    ];
    let sites: Vec<Site> = points
        .into_iter()
        .map(|(layer, place, latents)| {
            let point = HookPoint { layer, site: place };
            let path = directory.path().join(format!("{layer}-{latents}"));
            fixture.random_autoencoder(&path, latents, point);
            site(&path, point)
        })
        .collect();
    let pass = pass(&fixture, &sites, 3);
    for (site, statistics) in sites.iter().zip(pass.statistics()) {
        let (dense, is_text) = dense(&fixture, site);
        let tokens = is_text.iter().flatten().filter(|is_text| **is_text).count();
        assert_eq!(pass.tokens(), tokens as u64);
        let flat = dense.view([-1, site.latents as i64]);
        let counts: Vec<i64> =
            Vec::try_from(flat.gt(0.0).sum_dim_intlist(&[0][..], false, Kind::Int64)).unwrap();
        let maxima: Vec<f32> = Vec::try_from(flat.amax(&[0][..], false)).unwrap();
        assert!(counts.iter().sum::<i64>() > 0);
        for latent in 0..site.latents {
            assert_eq!(statistics.count(latent), counts[latent] as u64);
            assert_eq!(statistics.maximum(latent), maxima[latent]);
            let direct = direct_examples(&dense, &is_text, latent);
            let found = statistics.examples().of(latent);
            assert_eq!(found.len(), direct.len());
            for (found, direct) in found.iter().zip(&direct) {
                assert_eq!(found.strength, direct.strength);
                assert_eq!(found.sequence, direct.sequence);
                assert_eq!(found.window.position as usize, direct.position);
                let window = found.window.start() as usize..found.window.end() as usize;
                assert_eq!(window, direct.window);
                let activations: Vec<f32> = found.activations().collect();
                assert_eq!(activations.len(), direct.activations.len());
                for (found, direct_one) in activations.iter().zip(&direct.activations) {
                    assert!((found - direct_one).abs() <= 2e-5 * direct.strength);
                }
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    let point = HookPoint {
        layer: 1,
        site: Place::Residual,
    };
    fixture.random_autoencoder(directory.path(), 40, point);
    let sites = [site(directory.path(), point)];
    let summary = |threads| {
        let pass = pass(&fixture, &sites, threads);
        let examples = pass.statistics()[0].examples();
        let all = (0..40).flat_map(|latent| examples.of(latent));
        all.map(|example| {
            (
                example.sequence,
                example.strength.to_bits(),
                example.code.to_vec(),
            )
        })
        .collect::<Vec<_>>()
    };
    let alone = summary(1);
    assert!(alone.len() > 40);
    assert_eq!(alone, summary(4));
}
