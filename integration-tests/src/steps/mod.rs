//! The steps of the job, each of which really happens.
