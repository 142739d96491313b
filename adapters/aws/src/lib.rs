//! The one thread of the AWS SDK: credentials, endpoint, retries, and calls from synchronous code.
