//! Queues of the mrpf platform on Amazon SQS.
