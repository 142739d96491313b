//! Machines of bare-metal workers of the mrpf platform on Amazon EC2.
