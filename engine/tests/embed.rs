//! The example of embedding does what it says.

#[path = "../examples/embed.rs"]
mod example;

#[test]
fn the_example_of_embedding_runs() {
    example::main().expect("it runs to its end");
}
