def test_x(house, api):
    """x"""
    job = house.drive()
    assert job.state == "READY", job
    assert len(api.refines) == 1
