"""The cost model must be that of this library; `problems.moe` imports this module first."""

from moela.files.packages import require

require("moe_costmodel")
