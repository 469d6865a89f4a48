"""The crash campaign: a producer, a nemesis, observers and a checker that share no code with the bridge.

    producer  publishes numbered records with confirms and logs what the broker answered
    nemesis   kills the bridge, or makes the brokers fail, while records flow
    observer  reads the destination at the end
    checker   compares the three logs and gives the verdict

What is checked, and the letters C1 to C8, are the design's: loss, phantom and corruption, duplicates, order,
accounting, hygiene, untouched source, liveness.
"""
