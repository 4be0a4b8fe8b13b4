//! Which services the sample upstream stands in for.

use clap::ValueEnum;

/// A service, by the name of the preset that speaks to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// The batches that microbatch defines itself.
    #[default]
    Jobs,
    /// JSON-RPC 2.0: its result is its `params`.
    JsonRpc,
    /// KServe's V1 protocol: a prediction is its instance.
    KserveV1,
    /// OpenAI's `/v1/embeddings`: a vector is made from its input alone, `dimensions` long.
    OpenaiEmbeddings,
    /// GraphQL over HTTP with array batching: the data are the query and its variables.
    Graphql,
    /// Elasticsearch's `_bulk`, and one document by itself.
    ElasticsearchIndex,
    /// A sink of CloudEvents, in every mode.
    Cloudevents,
    /// A sink of lines.
    Ndjson,
}

impl Service {
    /// Whether results may come in any order: something tells whose each is.
    pub(super) fn shuffles(self) -> bool {
        matches!(self, Self::Jobs | Self::JsonRpc | Self::OpenaiEmbeddings)
    }

    /// Whether it has one path, `/batch`, and not all of them.
    pub(super) fn has_one_path(self) -> bool {
        self == Self::Jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::presets;

    #[test]
    fn there_is_one_for_every_preset() {
        let services = Service::value_variants().iter();
        let names = services.filter_map(ValueEnum::to_possible_value);
        let mut names: Vec<String> = names.map(|it| it.get_name().to_owned()).collect();
        names.sort_unstable();
        assert!(presets::all().keys().eq(&names), "{names:?}");
    }
}
