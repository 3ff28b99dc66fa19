//! holdfast-shard-node
