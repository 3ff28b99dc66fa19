//! The shape of the workspace as tests: who may depend on whom, who may touch what, and under which licences.
