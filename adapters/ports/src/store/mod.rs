//! What is kept: tasks and their data, and what was found.
//!
//! ```text
//!  ManagerStore: WorkerStore        one transaction over small primitives; decisions stand in the manager
//!  WorkerStore                      what an internal or bare-metal worker may do, each call a transaction fenced by its run
//!    |-- task_data, task_collection_data, task_checkpoint       claim, renew, parts, rows
//!    '-- recon                                                  upsert, list, blocklist, refusals
//! ```
//!
//! An external worker has no store at all.

mod error;
mod manager;
mod recon;
mod rows;
mod told;
mod worker;

pub use self::{
    error::StoreError,
    manager::{ManagerStore, Tx},
    recon::{
        CertificateRow, DomainEndpointRow, DomainRecordRow, DomainRow, EndpointCertificateRow,
        EndpointRow, ModelRow, RefusalRow, Seen, SeenCount, TargetKind, TargetRow,
    },
    rows::{
        CollectionRow, Control, Dependency, EdgeRow, On, OutboxRow, SlotRow, SlotState, TaskFilter,
        TaskRow, TaskState, WorkflowRow, WorkflowState,
    },
    told::{told_by_dns, told_by_tls},
    worker::{Checkpoint, Claim, Cursor, Lease, Renewal, WorkerStore},
};
