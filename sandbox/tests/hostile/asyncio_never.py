import asyncio
async def never():
    await asyncio.Event().wait()
asyncio.run(never())
