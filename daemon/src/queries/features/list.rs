//! Features of a training, sorted, filtered, searched, a page at a time.
//!
//! A page is found by key, not by counting: the rows that have a value come first, in the order of an index where there is one, then those that
//! have none. Each half is asked for at most a page, so a page costs the same wherever it is.

use super::{Feature, FeatureCursor};
use crate::queries::{Page, Queries, QueryError, attempt, page};
use sqlx::{Postgres, QueryBuilder};

const COLUMNS: &str = include_str!("columns.sql");

/// What features are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeatureSort {
    /// On how many tokens they are active.
    #[default]
    ActivationFrequency,
    /// How well they can be understood.
    InterpretabilityScore,
    /// Which latent they are.
    NeuronIndex,
    /// How strong they get.
    MaxActivationValue,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeatureOrder {
    /// The least.
    Asc,
    /// The greatest.
    #[default]
    Desc,
}

/// Whether features that a person has hidden are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hidden {
    /// Those alone.
    Only,
    /// As any others.
    Any,
    /// Not.
    #[default]
    No,
}

/// Text that is none of the words that can be said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord;

impl FeatureSort {
    /// All there are.
    pub const ALL: [Self; 4] = [
        Self::ActivationFrequency,
        Self::InterpretabilityScore,
        Self::NeuronIndex,
        Self::MaxActivationValue,
    ];

    /// The column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActivationFrequency => "activation_frequency",
            Self::InterpretabilityScore => "interpretability_score",
            Self::NeuronIndex => "neuron_index",
            Self::MaxActivationValue => "max_activation_value",
        }
    }

    const fn is_nullable(self) -> bool {
        matches!(self, Self::InterpretabilityScore | Self::MaxActivationValue)
    }

    fn of(self, feature: &Feature) -> Option<f64> {
        match self {
            Self::ActivationFrequency => Some(feature.activation_frequency),
            Self::InterpretabilityScore => feature.interpretability_score,
            Self::NeuronIndex => Some(f64::from(feature.neuron_index)),
            Self::MaxActivationValue => feature.max_activation_value,
        }
    }
}

impl std::str::FromStr for FeatureSort {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|sort| sort.as_str() == text)
            .ok_or(UnknownWord)
    }
}

impl FeatureOrder {
    /// `asc` or `desc`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl std::str::FromStr for FeatureOrder {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "asc" => Ok(Self::Asc),
            "desc" => Ok(Self::Desc),
            _ => Err(UnknownWord),
        }
    }
}

impl std::str::FromStr for Hidden {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "false" => Ok(Self::No),
            "true" => Ok(Self::Only),
            "any" => Ok(Self::Any),
            _ => Err(UnknownWord),
        }
    }
}

/// Which features, in which order.
#[derive(Clone, Debug, Default)]
pub struct FeatureFilter {
    /// What they are sorted by.
    pub sort: FeatureSort,
    /// Which end comes first; what has no value comes last either way.
    pub order: FeatureOrder,
    /// Of this layer.
    pub layer: Option<i32>,
    /// Favourites, or all others.
    pub favorite: Option<bool>,
    /// Whether hidden ones are shown.
    pub hidden: Hidden,
    /// At least so frequent.
    pub min_frequency: Option<f64>,
    /// At most so frequent.
    pub max_frequency: Option<f64>,
    /// Words of names and descriptions.
    pub search: Option<String>,
}

impl Queries {
    /// Features of a training. A cursor of another sorting is refused.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn features(
        &self,
        training_id: &str,
        filter: &FeatureFilter,
        after: Option<&FeatureCursor>,
        limit: u32,
    ) -> Result<Page<Feature>, QueryError> {
        let mut query = statement(training_id, filter, after, i64::from(limit) + 1);
        let rows: Vec<Feature> = query
            .build_query_as()
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("the features of training {training_id}")))?;
        Ok(page(rows, limit, |row| {
            FeatureCursor {
                sort: filter.sort,
                order: filter.order,
                value: filter.sort.of(row),
                id: row.id,
            }
            .to_string()
        }))
    }
}

fn statement<'a>(
    training_id: &'a str,
    filter: &'a FeatureFilter,
    after: Option<&'a FeatureCursor>,
    limit: i64,
) -> QueryBuilder<Postgres> {
    let column = filter.sort.as_str();
    let (direction, beyond) = match filter.order {
        FeatureOrder::Asc => ("ASC", ">"),
        FeatureOrder::Desc => ("DESC", "<"),
    };
    // There are none in this half; it is how the indexes are sorted, or read backwards.
    let nulls = match (filter.sort.is_nullable(), filter.order) {
        (false, _) => "",
        (true, FeatureOrder::Asc) => " NULLS FIRST",
        (true, FeatureOrder::Desc) => " NULLS LAST",
    };
    let mut query = QueryBuilder::new("(");
    select(&mut query, training_id, filter);
    if filter.sort.is_nullable() {
        query.push(format!(" AND {column} IS NOT NULL"));
    }
    match after {
        None => {}
        Some(FeatureCursor {
            value: Some(value),
            id,
            ..
        }) => {
            query.push(format!(" AND ({column}, id) {beyond} ("));
            query.push_bind(*value);
            if filter.sort == FeatureSort::NeuronIndex {
                query.push("::integer");
            }
            query.push(", ").push_bind(*id).push(")");
        }
        Some(_) => {
            query.push(" AND FALSE");
        }
    }
    query.push(format!(
        " ORDER BY {column} {direction}{nulls}, id {direction} LIMIT "
    ));
    query.push_bind(limit).push(")");
    if filter.sort.is_nullable() {
        query.push(" UNION ALL (");
        select(&mut query, training_id, filter);
        query.push(format!(" AND {column} IS NULL"));
        if let Some(FeatureCursor {
            value: None, id, ..
        }) = after
        {
            query.push(format!(" AND id {beyond} ")).push_bind(*id);
        }
        query.push(format!(" ORDER BY id {direction} LIMIT "));
        query.push_bind(limit).push(")");
        query.push(format!(
            " ORDER BY {column} {direction} NULLS LAST, id {direction} LIMIT "
        ));
        query.push_bind(limit);
    }
    query
}

/// The rows that are wanted, in no order.
fn select(query: &mut QueryBuilder<Postgres>, training_id: &str, filter: &FeatureFilter) {
    query
        .push(COLUMNS)
        .push(" ")
        .push_bind(training_id.to_owned());
    if let Some(layer) = filter.layer {
        query.push(" AND layer = ").push_bind(layer);
    }
    match filter.favorite {
        // As the partial index has it.
        Some(true) => {
            query.push(" AND is_favorite = TRUE");
        }
        Some(false) => {
            query.push(" AND is_favorite IS NOT TRUE");
        }
        None => {}
    }
    match filter.hidden {
        Hidden::Only => {
            query.push(" AND is_hidden");
        }
        Hidden::No => {
            query.push(" AND is_hidden IS NOT TRUE");
        }
        Hidden::Any => {}
    }
    if let Some(least) = filter.min_frequency {
        query.push(" AND activation_frequency >= ").push_bind(least);
    }
    if let Some(most) = filter.max_frequency {
        query.push(" AND activation_frequency <= ").push_bind(most);
    }
    if let Some(words) = &filter.search {
        // As the document indexes it.
        query.push(
            " AND to_tsvector('english', COALESCE(name, '') || ' ' || COALESCE(description, '')) \
             @@ plainto_tsquery('english', ",
        );
        query.push_bind(words.clone()).push(")");
    }
}
