//! What a queue says of itself when it is opened, and what is said of one that cannot be.

use mrpf_cloud::{Answer, Fault, QueueSettings};
use mrpf_ports::{Queue, QueueError, QueueName, conformance::queue::MAX_RECEIVES};
use mrpf_sqs::{Sqs, SqsQueue, client};

use crate::world::{LONG, SECOND, World};

fn why(opened: Result<Sqs, QueueError>) -> String {
    opened.unwrap_err().to_string()
}

#[test]
fn the_redrive_policy_says_where_dead_letters_go_and_after_how_many_receives() {
    let world = World::new();
    assert_eq!(world.queue.max_receives(), Some(MAX_RECEIVES));
    let dead = world.queue.queue().dead_letters().unwrap();
    assert_eq!(dead.url(), world.cloud.queues().url("external-dead"));
    assert_eq!(dead.max_receives(), None);
    let calls = world.calls("GetQueueUrl");
    // With the account: the dead letters may be another's.
    assert_eq!(calls[0].param("QueueOwnerAWSAccountId"), Some(mrpf_cloud::ACCOUNT));
}

#[test]
fn a_queue_without_a_redrive_policy_has_no_dead_letters() {
    let world = World::with(QueueSettings::default());
    assert!(world.queue.dead_letters().is_none());
    assert_eq!(world.queue.max_receives(), None);
}

#[test]
fn a_queue_that_is_not_there_names_the_variable_of_its_url() {
    let world = World::new();
    for (name, variable) in [
        (QueueName::External, "EXTERNAL_QUEUE_URL"),
        (QueueName::Internal, "INTERNAL_QUEUE_URL"),
        (QueueName::BareMetal, "BARE_METAL_QUEUE_URL"),
        (QueueName::TaskManager, "TASK_MANAGER_QUEUE_URL"),
    ] {
        let url = world.cloud.queues().url("nowhere");
        let why = why(Sqs::open(&world.aws, name, &url));
        assert!(why.starts_with(&format!("{name} queue: SQS GetQueueAttributes: ")), "{why}");
        assert!(why.contains("NonExistentQueue (400)"), "{why}");
        assert!(why.contains(&url) && why.contains(variable), "{why}");
        assert!(why.contains("region eu-central-1") && why.contains("AWS_REGION"), "{why}");
    }
    // And one that goes away later.
    let delivery = world.one();
    world.cloud.queues().delete(&world.url);
    let variable = "EXTERNAL_QUEUE_URL";
    for why in [
        world.queue.send(&["a".to_owned()]).unwrap_err().to_string(),
        world.queue.receive(1, SECOND, LONG).unwrap_err().to_string(),
        world.queue.extend(&delivery.handle, LONG).unwrap_err().to_string(),
        world.queue.delete(&[delivery.handle]).unwrap_err().to_string(),
        world.queue.depth().unwrap_err().to_string(),
    ] {
        assert!(why.contains(variable), "{why}");
    }
}

#[test]
fn dead_letters_that_are_not_there_name_the_policy_that_says_so() {
    let world = World::new();
    world.cloud.queues().delete(&world.cloud.queues().url("external-dead"));
    let why = why(Sqs::open(&world.aws, QueueName::External, &world.url));
    assert!(why.starts_with("external dead-letter queue: SQS GetQueueUrl: "), "{why}");
    assert!(why.contains("the RedrivePolicy of the external queue"), "{why}");
}

#[test]
fn what_one_may_not_do_is_to_be_allowed_in_the_policy() {
    let world = World::new();
    let denied = Answer::Error {
        status: 403,
        code: "AccessDeniedException".to_owned(),
        message: "User: arn:aws:iam::1:role/w is not authorized to perform: sqs:getqueueattributes"
            .to_owned(),
    };
    world.cloud.faults().add(Fault::on("GetQueueAttributes", denied));
    let why = why(Sqs::open(&world.aws, QueueName::External, &world.url));
    assert!(why.contains("AccessDeniedException (403)") && why.contains("not authorized"), "{why}");
    assert!(why.contains("in the policy of this role") && why.contains(&world.url), "{why}");
}

#[test]
fn the_size_of_a_message_is_what_the_queue_says() {
    let settings = QueueSettings::default().max_octets(1_024);
    let world = World::with(settings.max_receives(MAX_RECEIVES));
    let refused = world.queue.send(&["small".to_owned(), "x".repeat(1_025)]).unwrap_err();
    assert!(
        matches!(refused, QueueError::TooLarge { octets: 1_025, limit: 1_024, .. }),
        "{refused:?}"
    );
    assert!(world.calls("SendMessageBatch").is_empty(), "something was sent");
    // Letters that are two octets each.
    let refused = world.queue.send(&["ß".repeat(513)]).unwrap_err();
    assert!(matches!(refused, QueueError::TooLarge { octets: 1_026, .. }), "{refused:?}");
    world.queue.send(&["ß".repeat(512)]).unwrap();
    // A queue's dead letters may take less, or more.
    assert_eq!(world.queue.queue().dead_letters().unwrap().limit(), 1_048_576);
}

#[test]
fn batches_have_ten_messages_at_most_and_the_octets_of_one() {
    let settings = QueueSettings::default().max_octets(1_024);
    let world = World::with(settings.max_receives(MAX_RECEIVES));
    let bodies: Vec<String> = (0..25).map(|n| "x".repeat(n * 40)).map(|x| x + "y").collect();
    world.queue.send(&bodies).unwrap();
    let calls = world.calls("SendMessageBatch");
    let sizes: Vec<Vec<usize>> = calls
        .iter()
        .map(|call| {
            let entries = call.params["Entries"].as_array().unwrap();
            entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap().len()).collect()
        })
        .collect();
    assert!(sizes.iter().all(|batch| batch.len() <= 10), "{sizes:?}");
    assert!(sizes.iter().all(|batch| batch.iter().sum::<usize>() <= 1_024), "{sizes:?}");
    assert_eq!(sizes.concat(), bodies.iter().map(String::len).collect::<Vec<_>>());
    assert_eq!(world.cloud.queues().depth(&world.url).visible, 25);
}

/// As any program on tokio has it.
#[test]
fn it_works_on_a_runtime_of_the_programs_own() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (client, url) = (client(&world.aws), world.url.clone());
    runtime.block_on(async {
        let queue = SqsQueue::open(client, QueueName::External, &url).await.unwrap();
        assert_eq!(queue.max_receives(), Some(MAX_RECEIVES));
        queue.send(&["a".to_owned(), "b".to_owned()]).await.unwrap();
        let mut taken = Vec::new();
        while taken.len() < 2 {
            taken.extend(queue.receive(10, SECOND, LONG).await.unwrap());
        }
        queue.extend(&taken[0].handle, LONG).await.unwrap();
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.visible, depth.in_flight), (0, 2));
        let handles: Vec<_> = taken.into_iter().map(|delivery| delivery.handle).collect();
        queue.delete(&handles).await.unwrap();
        assert_eq!(queue.depth().await.unwrap(), Default::default());
    });
}
