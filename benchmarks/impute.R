# mice with 2l.pan: 20 imputations, 10 iterations. Takes a csv with group g and y, x, z; prints JSON.
suppressMessages(library(mice))
data <- read.csv(commandArgs(trailingOnly = TRUE)[1])
set <- mice(data, maxit = 0)
methods <- c(g = "", y = "2l.pan", x = "2l.pan", z = "2l.pan")
predictors <- set$predictorMatrix
predictors[, ] <- 1
diag(predictors) <- 0
predictors[, "g"] <- -2
predictors["g", ] <- 0
spent <- system.time(
  mice(data, m = 20, maxit = 10, method = methods, predictorMatrix = predictors, seed = 1, printFlag = FALSE)
)
cat(sprintf('\n{"first": %f, "first CPU": %f}\n', spent[["elapsed"]], spent[["user.self"]] + spent[["sys.self"]]))
