# geepack on a csv whose rows stand cluster by cluster; robust standard errors. Prints JSON.
suppressMessages(library(geepack))
data <- read.csv(commandArgs(trailingOnly = TRUE)[1], stringsAsFactors = TRUE)
spent <- system.time({
  fit <- geeglm(y ~ c1 + c2 + x, id = g, data = data, family = binomial, corstr = "exchangeable")
  found <- summary(fit)$coefficients["x", ]
})[[3]]
cat(sprintf(
  '\n{"seconds": %f, "estimate": %.9f, "std_error": %.9f, "alpha": %.9f}\n',
  spent, found[["Estimate"]], found[["Std.err"]], fit$geese$alpha
))
