//! Databases of servers, as objects of their operators and as connections that are tried.

mod lifecycle;
mod objects;
mod optional;
mod trials;
