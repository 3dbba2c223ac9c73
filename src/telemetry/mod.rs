//! Log set-up and metric names. The library emits; only the binary installs a subscriber.
