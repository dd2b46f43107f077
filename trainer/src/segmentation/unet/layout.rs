//! Which weights a U-Net has, by name, in the order in which they are used.

use serde::{Deserialize, Serialize};

/// What a network reads and writes, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Numbers of a pixel.
    pub channels: i64,
    /// Classes, the background included.
    pub classes: i64,
    /// Channels of the first level; each level below has twice as many.
    pub base_channels: i64,
    /// Levels below the first.
    pub depth: i64,
}

impl Shape {
    /// What heights and widths must be a multiple of.
    #[must_use]
    pub fn multiple(&self) -> i64 {
        1 << self.depth
    }
}

/// A weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// `down.<level>.<part>`, `up.<level>.<part>`, `classes.<part>`.
    pub name: String,
    /// Its measures.
    pub size: Vec<i64>,
}

impl Weight {
    /// How many numbers it is.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.size.iter().product()
    }

    /// Whether it scales what was normalised.
    pub(super) fn is_scale(&self) -> bool {
        self.name.ends_with(".scale")
    }
}

/// All weights of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of which network.
    pub shape: Shape,
    weights: Vec<Weight>,
}

impl Layout {
    /// The weights of a network.
    #[must_use]
    pub fn of(shape: Shape) -> Self {
        let mut layout = Self {
            shape,
            weights: vec![],
        };
        let width = |level: i64| shape.base_channels << level;
        for level in 0..=shape.depth {
            let inputs = if level == 0 {
                shape.channels
            } else {
                width(level - 1)
            };
            layout.level(&format!("down.{level}"), inputs, width(level));
        }
        for level in (0..shape.depth).rev() {
            let name = format!("up.{level}");
            layout.add(&name, "up.weight", &[width(level + 1), width(level), 2, 2]);
            layout.add(&name, "up.bias", &[width(level)]);
            layout.level(&name, 2 * width(level), width(level));
        }
        layout.add("classes", "weight", &[shape.classes, width(0), 1, 1]);
        layout.add("classes", "bias", &[shape.classes]);
        layout
    }

    fn level(&mut self, name: &str, inputs: i64, outputs: i64) {
        for (n, inputs) in [(1, inputs), (2, outputs)] {
            self.add(name, &format!("conv{n}.weight"), &[outputs, inputs, 3, 3]);
            self.add(name, &format!("norm{n}.scale"), &[outputs]);
            self.add(name, &format!("norm{n}.shift"), &[outputs]);
        }
    }

    fn add(&mut self, of: &str, part: &str, size: &[i64]) {
        self.weights.push(Weight {
            name: format!("{of}.{part}"),
            size: size.to_vec(),
        });
    }

    /// In the order in which they are used.
    #[must_use]
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// How many numbers they are together.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.weights.iter().map(Weight::count).sum()
    }
}
