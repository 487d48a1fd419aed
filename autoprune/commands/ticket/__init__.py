"""Lottery tickets: masks that are rewound and trained again, beside their controls."""
