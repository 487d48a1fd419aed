"""``autoprune ticket``: lottery tickets, masks that are rewound and trained again, and controls."""
